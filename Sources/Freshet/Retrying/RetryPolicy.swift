internal import Hiredis

/// How often and how soon an event is delivered again whose handler threw, and what kinds of errors mean.
///
///     var retry = RetryPolicy()
///     retry.maximumAttempts = 8
///     retry.on(CardRefused.self) { _ in .acknowledge }
///     retry.on(ProviderBusy.self) { .retryAfter($0.pause) }
public struct RetryPolicy: Sendable {
    /// How many attempts there are in all, the immediate ones included; after the last one the event is a dead letter. 5 by
    /// default.
    public var maximumAttempts = 5
    /// How often an event is tried again at once, in place, before the first pause. 0 by default.
    public var immediateRetries = 0
    /// The longest pause after the first attempt; it doubles with each. 100 ms by default.
    public var base = Duration.milliseconds(100)
    /// The longest pause of all. 30 s by default.
    public var ceiling = Duration.seconds(30)
    private var rules: [@Sendable (any Error) -> FailureResponse?] = []

    /// The defaults.
    public init() {}

    /// Says what an error of this type means. The first rule that knows an error decides; `Respond` is asked before any.
    public mutating func on<Failure: Error>(
        _ type: Failure.Type, _ response: @escaping @Sendable (Failure) -> FailureResponse
    ) {
        rules.append { error in (error as? Failure).map(response) }
    }

    /// What is to become of an event whose handler threw this.
    func response(to error: any Error) -> FailureResponse {
        if let respond = error as? Respond { return respond.response }
        for rule in rules {
            if let response = rule(error) { return response }
        }
        return .retry
    }

    /// What comes next after so many failed attempts, this one included.
    func next(after error: any Error, failedAttempts: Int) -> NextStep {
        let pause: Duration
        switch response(to: error) {
        case .acknowledge: return .settle(.acknowledged)
        case .deadLetter: return .settle(.dead(failedAttempts: failedAttempts, reason: "\(error)"))
        case .invalid: return .settle(.invalid(reason: "\(error)"))
        case .retry:
            if failedAttempts <= immediateRetries, failedAttempts < maximumAttempts { return .again }
            pause = self.pause(afterAttempt: failedAttempts - immediateRetries)
        case .retryAfter(let wanted): pause = max(.milliseconds(1), wanted)
        }
        if failedAttempts >= maximumAttempts {
            return .settle(.dead(failedAttempts: failedAttempts, reason: "\(error)"))
        }
        return .settle(.scheduled(after: pause, failedAttempts: failedAttempts, reason: "\(error)"))
    }

    /// What comes after a handler threw.
    enum NextStep {
        /// At once, in place.
        case again
        /// The delivery ends so.
        case settle(Settlement)
    }

    /// A random part of the pause after so many failed attempts ("full jitter"), at least a millisecond.
    func pause(afterAttempt attempt: Int) -> Duration {
        let base = self.base.inMilliseconds
        let ceiling = max(1, self.ceiling.inMilliseconds)
        let most = attempt >= 32 ? ceiling : min(ceiling, max(1, base) << max(0, attempt - 1))
        return .milliseconds(Int.random(in: 1...max(1, most)))
    }
}
