public import Logging
public import ServiceLifecycle

/// One group's reading of one topic: takes events, runs their handlers, and settles each delivery exactly one way.
///
///     let subscription = Subscription(to: .orders, group: "payment", on: broker) {
///         On(OrderPlaced.self) { order, delivery in try await charge(order) }
///     }
///     try await subscription.run()
///
/// **Delivery.** Each event of the topic reaches the group at least once; an event whose handler returned is
/// acknowledged after that, never before. Several processes with the same group share the events between them. Handlers
/// run side by side and start roughly in the order of the log; a retried event comes later.
///
/// **Endings.** The handler returned: acknowledged. It threw: again after a pause, and after the last attempt a dead letter.
/// Not an event, not readable, or of a newer version than this program knows: to the group's `invalid` stream with the
/// reason and every field as it was. A type without a handler here, or without one for such a delivery (`DeliveryKinds`):
/// acknowledged and counted as ignored.
///
/// **Failures.** While the server is away the subscription waits and goes on by itself. A stream or group that vanished
/// is made again from its recorded start. On graceful shutdown it stops reading, lets running handlers finish, and
/// hands back what it had taken and not begun.
public struct Subscription: Service {
    /// The topic.
    public let topic: Topic
    /// The group.
    public let group: GroupName
    /// This process's name in the group.
    public let consumer: ConsumerName
    /// What has become of the entries so far.
    public let counters: SubscriptionCounters
    /// The types that have a handler, with the newest version it reads; `Int.max` for one that takes any.
    package let handledVersions: [EventType: Int]
    /// The types that have a handler, with the deliveries it is for.
    package let handledKinds: [EventType: DeliveryKinds]
    /// The types whose handlers have not said whether they are for a rebuild.
    package let unsaid: [EventType]
    private let core: Consumer

    /// Describes a subscription; `run` runs it.
    ///
    /// - Parameters:
    ///   - start: where the group begins when it does not exist yet.
    ///   - kinds: which deliveries its handlers are for at most, and what those are for that do not say; nil for what each says.
    ///   - consumer: this process's name, unlike any other's in the group; nil makes one up.
    public init(
        to topic: Topic, group: GroupName, from start: StartPosition = .earliest,
        for kinds: DeliveryKinds? = nil, on broker: Broker, consumer: ConsumerName? = nil,
        options: SubscriptionOptions = SubscriptionOptions(),
        logger: Logger = Logger(label: "freshet", factory: { _ in SwiftLogNoOpLogHandler() }),
        @HandlerBuilder handlers: () -> [On]
    ) {
        self.topic = topic
        self.group = group
        self.consumer = consumer ?? .makeUnique()
        counters = SubscriptionCounters(topic: topic.name, group: group)
        var logger = logger
        logger[metadataKey: "topic"] = "\(topic.name)"
        logger[metadataKey: "group"] = "\(group)"
        let handlers = HandlerTable(handlers(), for: kinds)
        handledVersions = handlers.newestVersions
        handledKinds = handlers.kinds
        unsaid = handlers.unsaid
        core = Consumer(
            broker: broker, topic: topic, group: group, start: start, name: self.consumer, options: options,
            handlers: handlers, counters: counters, logger: logger)
    }

    /// Its signs of life.
    package var pulse: Pulse { core.pulse }

    /// How many deliveries it has taken and not settled, once it has ended or will not: they are another consumer's after the
    /// lease.
    package var unsettled: Int { core.unsettled }

    /// Why it would not start, as far as that is known without a server: a gap between the versions of an
    /// event.
    package var problem: FreshetError? { core.handlers.problem }

    func handler(forRebuildOf type: EventType) -> Handler? { core.handlers[type, .rebuild] }

    /// Reads and handles until graceful shutdown or cancellation. Throws only what waiting will not cure: refused
    /// credentials, a topic that is something else. Call it once.
    public func run() async throws {
        try await withTaskExecutorPreference(core.loop) {
            try await withGracefulShutdownHandler {
                try await withTaskCancellationHandler {
                    try await core.run()
                } onCancel: {
                    // At once: a handler that ends because of it must not be followed by the next of its key.
                    core.beginDraining()
                }
            } onGracefulShutdown: {
                core.beginDraining()
            }
        }
    }
}

extension ConsumerName {
    /// A name that no other process has: host, process id and a random part.
    public static func makeUnique() -> ConsumerName {
        let random = String(UInt32.random(in: 0 ... .max), radix: 36)
        return ConsumerName(unchecked: "\(Host.name)-\(Host.processID)-\(random)")
    }
}
