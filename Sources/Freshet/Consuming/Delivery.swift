public import Hiredis

/// One event on its way to a handler: the envelope, and what is known about this delivery of it.
public struct Delivery: Sendable {
    /// The event.
    public let event: Event
    /// The group that it is delivered to.
    public let group: GroupName
    /// The topic that it was published to.
    public let topic: TopicName
    /// The partition, from 0.
    public let partition: Int
    /// Where it stands in the partition's log. A position, not an identity: that is the event's `source` and `id`.
    public let position: StreamID
    /// Which attempt this is, from 1: earlier ones ended with an error that the handler threw. Deliveries that ended
    /// with the process are not attempts, so a handler may see attempt 1 twice.
    public let attempt: Int
    /// The replay that brought it, or nil when it came by itself.
    public let replay: DeliveryReplay?
    /// Whether the event stood in the log before the group was made there: the group sees for the first time
    /// what others have long acted on. False where nobody knows when that was (a group of before Freshet kept
    /// it), and in a rebuild.
    public let isHistory: Bool
    /// Who owns the partition, with `.perKey`; nil without an order.
    public let claim: PartitionClaim?

    /// The handler's run, when it is traced.
    var process: ProcessSpan?

    /// The W3C trace context in which it is handled: what follows from the event goes on there. The event's own when nothing is
    /// traced.
    public var traceparent: String? {
        if let process { process.traceparent(of: event) } else { event.traceparent }
    }

    /// Whether a replay brought it.
    public var isReplay: Bool { replay != nil }

    /// A delivery, for tests of handlers.
    public init(
        event: Event, group: GroupName, topic: TopicName, partition: Int = 0, position: StreamID = .zero,
        attempt: Int = 1, replay: DeliveryReplay? = nil, claim: PartitionClaim? = nil, isHistory: Bool = false
    ) {
        self.isHistory = isHistory
        self.event = event
        self.group = group
        self.topic = topic
        self.partition = partition
        self.position = position
        self.attempt = attempt
        self.replay = replay
        self.claim = claim
    }
}
