internal import Freshet
internal import FreshetService
internal import Glibc

/// Shows how the shop is doing on standard error: a block with bars that is drawn anew on a terminal, a line now and then
/// elsewhere.
struct ProgressDisplay {
    private let isTerminal = isatty(2) == 1
    private var drawnLines = 0
    private var last: (at: ContinuousClock.Instant, done: [Int])?
    private var lastLine = ContinuousClock.now - .seconds(3600)

    mutating func show(placed: Int, groups: [GroupProgress]) {
        let now = ContinuousClock.now
        let rates = rates(of: groups, at: now)
        if isTerminal {
            var lines = ["orders placed  \(placed)"]
            for (group, rate) in zip(groups, rates) { lines.append(Self.bar(group, rate)) }
            let up = drawnLines > 0 ? "\u{1b}[\(drawnLines)A" : ""
            StandardError.write(up + lines.map { "\u{1b}[2K\($0)" }.joined(separator: "\n"))
            drawnLines = lines.count
        } else if now - lastLine >= .seconds(2) {
            lastLine = now
            let parts = zip(groups, rates).map { group, rate in
                "\(group.group) done \(group.done) lag \(group.waiting + group.pending + group.delayed) \(rate)/s"
            }
            StandardError.write("placed \(placed) | " + parts.joined(separator: " | "))
        }
    }

    private mutating func rates(of groups: [GroupProgress], at now: ContinuousClock.Instant) -> [Int] {
        let done = groups.map(\.done)
        defer { last = (now, done) }
        guard let last, last.done.count == done.count else { return done.map { _ in 0 } }
        let passed = (now - last.at) / .seconds(1)
        return zip(done, last.done).map { passed > 0 ? max(0, Int(Double($0 - $1) / passed)) : 0 }
    }

    private static func bar(_ group: GroupProgress, _ rate: Int) -> String {
        let left = group.waiting + group.pending + group.delayed
        let share = group.done + left == 0 ? 0 : Double(group.done) / Double(group.done + left)
        let full = Int(share * 30)
        let bar = String(repeating: "█", count: full) + String(repeating: "░", count: 30 - full)
        let name = group.group.rawValue
        let failed = group.dead + group.invalid
        return name + String(repeating: " ", count: max(1, 10 - name.count)) + bar
            + "  done \(group.done)  lag \(left)  \(rate)/s"
            + (failed > 0 ? "  dead or invalid \(failed)" : "")
    }
}
