/// How a subscription takes and retries events.
public struct SubscriptionOptions: Sendable {
    /// How many events are handled side by side, and held, at most. 64 by default.
    public var concurrency = 64
    /// In which order events are handled; the same for all consumers of a group. `.any` by default.
    public var ordering = Ordering.any
    /// Where the epochs of partitions are kept with `.perKey`, when effects stand elsewhere than in Redis: the records of the
    /// service. Nil by default: the epochs are Redis' own.
    public var fence: (any PartitionFence)?
    /// How long a consumer that shows no sign of life keeps its events, and its partitions; then another one takes them. A
    /// handler may run longer: the claim is renewed while it does. 10 s by default.
    public var lease = Duration.seconds(10)
    /// From where on handlers act that do more than change records: events before it are seen only by
    /// handlers whose effects are all in records (`On(_:in:)` in FreshetRecords), and count as ignored for
    /// others. `.latest` is the moment at which the group was made: a new group then reads all history into
    /// its records, and sends no mail for the past. Nil by default: all act on everything.
    public var actingFrom: StartPosition?
    /// What happens when a handler throws.
    public var retry = RetryPolicy()
    /// When the subscription pauses because all handlers fail.
    public var breaker = BreakerPolicy()
    /// How often an event may be delivered without ever being settled, because the process died each time or lost its
    /// lease, before it becomes a dead letter. 10 by default.
    public var maximumDeliveries = 10
    /// How long a read waits at the server for the next event. 4 s by default; it bounds how long a shutdown waits when
    /// the user may not use `CLIENT UNBLOCK`, and how long a rewind goes unnoticed.
    public var block = Duration.seconds(4)

    /// Bounds of what keeping an order remembers.
    package var limits = OrderingLimits()
    /// After how long without a sign of life the name of a consumer that holds nothing leaves the group.
    package var namesExpireAfter = Duration.seconds(600)
    /// For proofs: called with each delivery that was taken up, with each that surely ended so, and with each partition that was
    /// taken or left.
    package var observeTaken: (@Sendable (Event) -> Void)?
    package var observe: (@Sendable (Event, Outcome) -> Void)?
    package var observePartition: (@Sendable (_ partition: Int, _ epoch: Int, _ isOwned: Bool) -> Void)?
    /// For proofs: called with each page of the pending list in which deferred events were searched.
    package var observeSearch: (@Sendable () -> Void)?

    /// The defaults.
    public init() {}
}
