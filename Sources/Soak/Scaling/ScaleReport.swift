internal import FreshetService

/// What `soak scale` found.
struct ScaleReport: Codable {
    /// One number of workers.
    struct Step: Codable {
        let ordering: String
        let workers: Int
        let eventsPerSecond: Int
        /// To the first number of workers.
        let ratio: Double
    }

    /// A time in which workers came and went.
    struct Churn: Codable {
        /// A second of it: how many workers there were, and how many events they handled.
        struct Second: Codable {
            let workers: Int
            let events: Int
        }
        let ordering: String
        var added = 0
        var drained = 0
        var killed = 0
        var events = 0
        /// Events that nobody handled, or whose effect is not in the records.
        var lost = 0
        /// Events whose effect is there more than once.
        var doubled = 0
        /// Begun again because their process had been killed.
        var repeated = 0
        /// Drained workers that did not exit 0.
        var failedDrains = 0
        var isSettled = false
        var seconds: [Second] = []
    }

    /// The same with the shop's workers.
    struct Shop: Codable {
        let orders: Int
        var added = 0
        var drained = 0
        var killed = 0
        var problems: [String] = []
    }

    let seed: UInt64
    /// Milliseconds that a handler waits.
    let wait: Int
    let concurrency: Int
    let store: String
    var steps: [Step] = []
    var churns: [Churn] = []
    var shop: Shop?

    /// For people.
    var text: String {
        var table = TextTable(columns: ["ORDERING", "WORKERS", "EVENTS/S", "RATIO"])
        var lines = table.lines(
            steps.map { step in
                let ratio = "\(Int(step.ratio * 100 + 0.5))"
                return [
                    step.ordering, "\(step.workers)", "\(step.eventsPerSecond)",
                    "\(ratio.dropLast(2)).\(ratio.suffix(2))",
                ]
            })
        for churn in churns {
            let rate = churn.seconds.reduce(0) { $0 + $1.events } / max(1, churn.seconds.count)
            lines += [
                "",
                "\(churn.ordering): \(churn.added) added, \(churn.drained) drained, \(churn.killed) killed in \(churn.seconds.count) s",
                "  \(churn.events) events at \(rate)/s: \(churn.lost) lost, \(churn.doubled) doubled, \(churn.repeated) begun again after a kill",
            ]
        }
        if let shop {
            lines += [
                "",
                "shop: \(shop.added) added, \(shop.drained) drained, \(shop.killed) killed under \(shop.orders) orders",
                "  \(shop.problems.isEmpty ? "shop verify: all guarantees hold" : shop.problems.joined(separator: "; "))",
            ]
        }
        return lines.joined(separator: "\n")
    }

    /// What is not as it must be.
    func broken(demanding share: Double) -> [String] {
        var broken: [String] = []
        for (ordering, steps) in Dictionary(grouping: steps, by: \.ordering) {
            guard let first = steps.first, let last = steps.last else { continue }
            let ideal = Double(last.workers) / Double(first.workers)
            if last.ratio < share * ideal {
                broken.append("\(ordering): \(last.workers) workers are \(last.ratio) times \(first.workers)")
            }
        }
        for churn in churns {
            if !churn.isSettled { broken.append("\(churn.ordering): not settled in time") }
            for (what, count) in [
                ("lost", churn.lost), ("doubled", churn.doubled), ("failed drains", churn.failedDrains),
            ] where count > 0 { broken.append("\(churn.ordering): \(count) \(what)") }
        }
        return broken + (shop?.problems ?? [])
    }
}
