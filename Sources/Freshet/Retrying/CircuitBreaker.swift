/// When a subscription pauses because all of its handlers fail, and when it tries again.
public struct BreakerPolicy: Sendable {
    /// So many failures in a row, with no success in between, open the breaker; 0 never does. 20 by default. Only errors
    /// that are to be retried count.
    public var failures = 20
    /// How long the first pause is; each probe that fails doubles it. 1 s by default.
    public var pause = Duration.seconds(1)
    /// The longest pause. 30 s by default.
    public var ceiling = Duration.seconds(30)

    /// The defaults.
    public init() {}
}

/// Closed while handlers work, open while they all fail, and in between one probe. No I/O and no clock of its own.
struct CircuitBreaker {
    typealias Instant = ContinuousClock.Instant

    private enum State {
        case closed(failures: Int)
        case open(until: Instant, pause: Duration)
        case probing(pause: Duration)
    }

    let policy: BreakerPolicy
    private var state = State.closed(failures: 0)

    init(_ policy: BreakerPolicy) { self.policy = policy }

    var isClosed: Bool { if case .closed = state { true } else { false } }
    /// When an open breaker lets a probe through.
    var opensAt: Instant? { if case .open(let until, _) = state { until } else { nil } }

    /// What may start now.
    enum Permission { case anything, probe, nothing }

    func permission(at now: Instant) -> Permission {
        switch state {
        case .closed: .anything
        case .open(let until, _): now >= until ? .probe : .nothing
        case .probing: .nothing
        }
    }

    mutating func probeStarted() {
        if case .open(_, let pause) = state { state = .probing(pause: pause) }
    }

    /// The probe ended without an answer: it was handed back, or its event was none of the handlers'.
    mutating func probeEnded(at now: Instant) {
        if case .probing(let pause) = state { state = .open(until: now, pause: pause) }
    }

    /// A handler returned, or gave an answer that is no failure. True when this closes the breaker.
    mutating func succeeded() -> Bool {
        defer { state = .closed(failures: 0) }
        return !isClosed
    }

    /// A handler failed. True when this opens the breaker.
    mutating func failed(isProbe: Bool, at now: Instant) -> Bool {
        switch state {
        case .closed(let failures):
            guard policy.failures > 0, failures + 1 >= policy.failures else {
                state = .closed(failures: failures + 1)
                return false
            }
            state = .open(until: now + policy.pause, pause: policy.pause)
            return true
        case .probing(let pause) where isProbe:
            let longer = min(pause * 2, policy.ceiling)
            state = .open(until: now + longer, pause: longer)
            return false
        case .open, .probing: return false
        }
    }
}
