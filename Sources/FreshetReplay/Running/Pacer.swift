internal import Hiredis

/// When the next entries are due.
struct Pacer {
    private let pace: ReplayPace
    /// A rate that the group's state imposes, beside the plan's.
    var brake: Double?
    private var next = ContinuousClock.now
    /// For the original pace: the last entry that was due, and how long after the beginning that was.
    private var last: StreamID?
    private var elapsed = 0.0
    private var began = ContinuousClock.now

    init(_ pace: ReplayPace) { self.pace = pace }

    /// Whether every entry is due at once.
    var isUnhurried: Bool { pace.speed == nil && rate == nil }

    private var rate: Double? { [pace.rate, brake].compactMap { $0 }.min() }

    /// How many of these go next, and when: at least one.
    mutating func take(_ entries: ArraySlice<StreamEntry>) -> (count: Int, due: ContinuousClock.Instant) {
        var (count, due) = (entries.count, ContinuousClock.now)
        if let speed = pace.speed {
            let now = ContinuousClock.now
            count = 0
            for entry in entries {
                let moment = elapsed + gap(before: entry.id) / speed
                let time = began + .seconds(moment)
                if count > 0, time > now { break }
                (elapsed, last, count) = (moment, entry.id, count + 1)
                if count == 1 { due = time }
            }
        }
        if let rate {
            // Twenty steps a second: even, and few.
            count = max(1, min(count, Int(rate / 20)))
            due = max(due, next)
            next = max(next, .now - .milliseconds(100)) + .seconds(Double(count) / rate)
        }
        return (count, due)
    }

    /// In seconds of the original time.
    private func gap(before id: StreamID) -> Double {
        guard let last else { return 0 }
        let gap = Double(id.milliseconds) / 1000 - Double(last.milliseconds) / 1000
        return max(0, min(gap, pace.longestGap ?? .infinity))
    }

    /// So much time does not count: it was paused.
    mutating func skip(_ pause: Duration) { began += pause }
}
