internal import Hiredis

/// How a subscription takes and retries events.
public struct SubscriptionOptions: Sendable {
    /// How many events are handled side by side, and held, at most. 64 by default.
    public var concurrency = 64
    /// How long a consumer that shows no sign of life keeps its events; then another one takes them. A handler may run
    /// longer: the claim is renewed while it does. 10 s by default.
    public var lease = Duration.seconds(10)
    /// What happens when a handler throws.
    public var retry = RetryPolicy()
    /// How often an event may be delivered without ever being settled, because the process died each time or lost its
    /// lease, before it becomes a dead letter. 10 by default.
    public var maximumDeliveries = 10
    /// How long a read waits at the server for the next event. 2 s by default; it bounds how long a shutdown waits when
    /// the user may not use `CLIENT UNBLOCK`, and how long a rewind goes unnoticed.
    public var block = Duration.seconds(2)

    /// The defaults.
    public init() {}
}

/// How often and how soon an event is delivered again whose handler threw.
public struct RetryPolicy: Sendable {
    /// How many attempts there are in all; after the last one the event is a dead letter. 5 by default.
    public var maximumAttempts = 5
    /// The longest pause after the first attempt; it doubles with each. 100 ms by default.
    public var base = Duration.milliseconds(100)
    /// The longest pause of all. 30 s by default.
    public var ceiling = Duration.seconds(30)

    /// The defaults.
    public init() {}

    /// A random part of the pause after so many failed attempts ("full jitter"), at least a millisecond.
    func pause(afterAttempt attempt: Int) -> Duration {
        let base = self.base.inMilliseconds
        let ceiling = max(1, self.ceiling.inMilliseconds)
        let most = attempt >= 32 ? ceiling : min(ceiling, max(1, base) << (attempt - 1))
        return .milliseconds(Int.random(in: 1...max(1, most)))
    }
}
