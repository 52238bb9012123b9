internal import FoundationEssentials

/// What all journals together say, and what of it must not be.
struct Findings {
    struct Run {
        let id: String
        let key: String
        let number: Int
        let began: Int
        var ended: Int?
        var failed = false
        /// The delivery surely ended after this run, by this process.
        var settled: String?
        let process: Int
    }

    private(set) var runs: [String: [Run]] = [:]
    /// How often an event was surely settled for good.
    private var settled: [String: [String: Int]] = [:]
    /// Deliveries that were handed back, before their handlers ran.
    private(set) var releases: [(id: String, process: Int, at: Int)] = []
    /// Who was given an event, and when.
    private(set) var deliveries: [String: [(process: Int, at: Int)]] = [:]
    private(set) var counters: [String: [String: Int]] = [:]
    private(set) var errors: [String] = []
    /// How many handlers took three leases.
    private(set) var hung: [String: Int] = [:]
    /// By group and partition: who owned it when.
    private(set) var tenures: [String: [(partition: Int, process: Int, epoch: Int, began: Int, ended: Int)]] =
        [:]

    init(journals: [String]) throws {
        for (process, path) in journals.enumerated() {
            try read(try String(contentsOfFile: path, encoding: .utf8), process)
        }
    }

    private mutating func read(_ text: String, _ process: Int) throws {
        // After a rewind an event can run twice at once in a process.
        var open: [String: [Int]] = [:]
        var ended: [String: Int] = [:]
        var counts: [String: [String: Int]] = [:]
        var owned: [String: (epoch: Int, began: Int)] = [:]
        var last = 0
        // A line that a kill cut off has no end.
        for line in text.split(separator: "\n", omittingEmptySubsequences: true) {
            let words = line.split(separator: " ").map(String.init)
            guard words.count >= 2 else { continue }
            let group = words[1]
            if let time = Int(words[words.count - 1]), time > 1_000_000 { last = max(last, time) }
            switch words[0] {
            case "S":
                guard words.count == 6, let number = Int(words[4]), let began = Int(words[5]) else {
                    continue
                }
                open["\(group) \(words[2])", default: []].append(runs[group, default: []].count)
                runs[group, default: []].append(
                    Run(id: words[2], key: words[3], number: number, began: began, process: process))
            case "D":
                guard words.count == 4, let time = Int(words[3]) else { continue }
                deliveries["\(group) \(words[2])", default: []].append((process, time))
            case "E", "F":
                let name = words.count == 6 ? "\(group) \(words[2])" : ""
                guard let index = open[name]?.first, let time = Int(words[5]) else { continue }
                open[name]?.removeFirst()
                ended[name] = index
                runs[group]?[index].ended = time
                runs[group]?[index].failed = words[0] == "F"
            case "T":
                guard words.count == 5 else { continue }
                let name = "\(group) \(words[2])"
                if let index = ended[name] ?? open[name]?.first { runs[group]?[index].settled = words[3] }
                if words[3] == "released", let time = Int(words[4]) {
                    releases.append((words[2], process, time))
                }
                if words[3] == "acknowledged" || words[3] == "dead" || words[3] == "invalid" {
                    settled[group, default: [:]][words[2], default: 0] += 1
                }
            case "C":
                guard words.count == 4, let count = Int(words[3]) else { continue }
                counts[group, default: [:]][words[2]] = count
            case "O", "L":
                guard words.count == 5, let partition = Int(words[2]), let epoch = Int(words[3]),
                    let time = Int(words[4])
                else { continue }
                let place = "\(group) \(partition)"
                if words[0] == "O" {
                    owned[place] = (epoch, time)
                } else if let tenure = owned.removeValue(forKey: place) {
                    tenures[group, default: []].append((partition, process, tenure.epoch, tenure.began, time))
                }
            case "H": hung[group, default: 0] += 1
            case "X": errors.append(String(line))
            default: continue
            }
        }
        for (place, tenure) in owned {
            let parts = place.split(separator: " ")
            tenures[String(parts[0]), default: []].append(
                (Int(parts[1]) ?? 0, process, tenure.epoch, tenure.began, last))
        }
        for (group, outcomes) in counts {
            for (outcome, count) in outcomes { counters[group, default: [:]][outcome, default: 0] += count }
        }
    }

    /// Events that nobody handled and that are no dead letters.
    func lost(_ group: String, of published: Set<String>, dead: Set<String>) -> Set<String> {
        let done = Set((runs[group] ?? []).filter { $0.ended != nil && !$0.failed }.map(\.id))
        return published.subtracting(done).subtracting(dead)
    }

    /// Events that were settled for good more than once.
    func settledTwice(_ group: String, dead: [String]) -> [String] {
        let copies = Dictionary(grouping: dead) { $0 }.filter { $1.count > 1 }.map(\.key)
        return (settled[group] ?? [:]).filter { $1 > 1 }.map(\.key) + copies
    }

    /// Runs of one key that were at the same time, both of which counted.
    func overlaps(_ group: String) -> [String] {
        var found: [String] = []
        for (_, runs) in Dictionary(
            grouping: (runs[group] ?? []).filter { $0.settled != nil && $0.ended != nil }, by: \.key)
        {
            let sorted = runs.sorted { $0.began < $1.began }
            for (first, second) in zip(sorted, sorted.dropFirst()) where second.began < first.ended ?? 0 {
                found.append("\(first.id) of process \(first.process) and \(second.id) of \(second.process)")
            }
        }
        return found
    }

    /// Events that began before the event before them of the same key was handled or given up.
    func outOfOrder(_ group: String, dead: Set<String>) -> [String] {
        var found: [String] = []
        for (_, runs) in Dictionary(grouping: runs[group] ?? [], by: \.key) {
            var firstDone: [Int: Int] = [:]
            for run in runs {
                guard let ended = run.ended, !run.failed else { continue }
                firstDone[run.number] = min(firstDone[run.number] ?? .max, ended)
            }
            let ids = Dictionary(runs.map { ($0.number, $0.id) }) { first, _ in first }
            for run in runs where run.number > 0 {
                if let id = ids[run.number - 1], dead.contains(id) { continue }
                if firstDone[run.number - 1] ?? .max > run.began {
                    found.append("\(run.id) of process \(run.process)")
                }
            }
        }
        return found
    }

    /// How many runs were not the first of their event.
    func redeliveries(_ group: String) -> Int {
        let runs = runs[group] ?? []
        return runs.count - Set(runs.map(\.id)).count
    }
}
