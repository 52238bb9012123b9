/// How long to wait before the next attempt: doubling from `base` to `ceiling`, a random part of it each time ("full
/// jitter"), so that a thousand clients do not come back in the same instant.
struct Backoff {
    let base: Nanoseconds
    let ceiling: Nanoseconds
    private(set) var failures = 0

    init(base: Duration = .milliseconds(20), ceiling: Duration = .seconds(1)) {
        self.base = base.nanoseconds
        self.ceiling = ceiling.nanoseconds
    }

    mutating func next() -> Nanoseconds {
        let most = failures >= 16 ? ceiling : min(ceiling, base << UInt64(failures))
        failures += 1
        return UInt64.random(in: most / 2...most)
    }

    mutating func reset() { failures = 0 }
}
