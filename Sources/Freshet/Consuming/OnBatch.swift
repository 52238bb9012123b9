/// A handler for many events of one type at a time, in a subscription's list of handlers.
///
///     OnBatch(OrderPlaced.self, upTo: 500, within: .milliseconds(20)) { orders in
///         try await insert(orders.map(\.payload))
///     }
///
/// The events of a batch count as handled when the handler returns. When it throws, each event of the batch is given to
/// it alone, and only those that fail then are retried: keep effects in records, or make them safe to repeat.
/// With `.perKey` a batch holds at most one event of each key.
public struct OnBatch<Payload: EventPayload>: Sendable {
    private(set) var on: On

    /// Handles events of this payload's type in batches.
    ///
    /// - Parameters:
    ///   - most: the most events of a batch, from 1. The subscription holds twice as many, so that a batch gathers while the one
    ///     before it is handled.
    ///   - longest: how long the first event of a batch waits for others.
    ///   - kinds: which deliveries it is for; nil for those that come by themselves or are redelivered.
    public init(
        _ payload: Payload.Type, upTo most: Int, within longest: Duration,
        for kinds: DeliveryKinds? = nil,
        handler: @escaping @Sendable ([BatchedEvent<Payload>]) async throws -> Void
    ) {
        precondition(most > 0, "a batch has at least one event")
        on = On(
            type: Payload.eventType, newestVersion: Payload.schemaVersion, for: kinds,
            batch: BatchCall(
                most: most, longest: longest,
                decode: { event throws(FreshetError) in try event.payload(Payload.self) },
                handle: { events in
                    try await handler(
                        events.compactMap { event in
                            (event.payload as? Payload).map {
                                BatchedEvent(payload: $0, delivery: event.delivery)
                            }
                        })
                }))
        on.problem = Payload.versionProblem
    }

    /// The same, for a handler that does nothing but change a service's records.
    package func recorded() -> OnBatch {
        var batch = self
        batch.on = on.recorded()
        return batch
    }
}

/// One event of a batch.
public struct BatchedEvent<Payload: EventPayload>: Sendable {
    /// The payload.
    public let payload: Payload
    /// The envelope, and what is known about this delivery.
    public let delivery: Delivery

    /// An event of a batch, for tests of handlers.
    public init(payload: Payload, delivery: Delivery) {
        self.payload = payload
        self.delivery = delivery
    }
}

/// A handler of batches, its payload's type forgotten.
struct BatchCall: Sendable {
    struct Member: Sendable {
        let payload: any Sendable
        var delivery: Delivery
    }
    let most: Int
    let longest: Duration
    let decode: @Sendable (Event) throws(FreshetError) -> any Sendable
    let handle: @Sendable ([Member]) async throws -> Void
}
