public import Freshet

extension On {
    /// Handles events of this payload's type by changing a service's records, and does nothing else: each
    /// event's effects are applied once (`ServiceRecords.handle`). Therefore it also runs when the records
    /// are made anew from the history.
    ///
    ///     On(OrderPlaced.self, in: worker.records) { order, effects in
    ///         try effects.execute("INSERT INTO invoices VALUES ($1, $2)", .text(order.orderId), .integer(order.total))
    ///     }
    ///
    /// What it does outside of its effects (a mail, a call, another database) is done again by every rebuild.
    ///
    /// - Parameter kinds: which deliveries it is for.
    public init<Payload: EventPayload>(
        _ payload: Payload.Type, in records: ServiceRecords, for kinds: DeliveryKinds = .all,
        handler: @escaping @Sendable (Payload, Effects) throws -> Void
    ) {
        self = On(payload, for: kinds) { payload, delivery in
            try await records.handle(delivery) { try handler(payload, $0) }
        }.recorded()
    }
}

extension OnBatch {
    /// Handles batches of events by changing a service's records, in one transaction for all, and does
    /// nothing else; see `On(_:in:)`.
    ///
    /// - Parameters:
    ///   - most: the most events of a batch, from 1.
    ///   - longest: how long the first event of a batch waits for others.
    ///   - kinds: which deliveries it is for.
    ///   - handler: is called for each event that was not applied before, in the order of the batch.
    public init(
        _ payload: Payload.Type, upTo most: Int, within longest: Duration, in records: ServiceRecords,
        for kinds: DeliveryKinds = .all, handler: @escaping @Sendable (Payload, Effects) throws -> Void
    ) {
        self = OnBatch(payload, upTo: most, within: longest, for: kinds) { events in
            try await records.handle(events, handler)
        }.recorded()
    }
}

extension ServiceRecords {
    /// Whether handlers are given these while those in use are made anew.
    package var isRebuilding: Bool { rebuilding != nil }

    /// Whether a database has all these steps, and those of the inbox and the outbox. Changes nothing.
    package static func isMigrated(_ database: any Records, source: String, migrations: [Migration]) async
        -> Bool
    {
        let steps = [("freshet", InboxOutbox.migrations(for: database).count), (source, migrations.count)]
        let known = try? await database.read { transaction in
            try transaction.query(
                "SELECT owner, max(number) AS newest FROM freshet_migrations GROUP BY owner")
        }
        return steps.allSatisfy { owner, count in
            count == 0
                || known?.contains { $0.text("owner") == owner && $0.integer("newest") == Int64(count) }
                    == true
        }
    }

    /// A handler that was made with the records in use would change these.
    func refuseRebuilding(_ delivery: Delivery) throws {
        guard rebuilding == nil, delivery.kind == .rebuild else { return }
        throw RecordsError(
            .statement,
            "a rebuild's event for the records in use: make the handlers with the worker that the closure is given"
        )
    }
}
