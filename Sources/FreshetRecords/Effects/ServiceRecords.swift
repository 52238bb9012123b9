public import Freshet
internal import Hiredis
public import Logging

/// A service's database with an inbox and an outbox: events change its records exactly once.
///
/// One transaction holds the inbox row of the event (`source`, `id`, for this group), what the handler writes, and the
/// events that it publishes, as outbox rows. The event is acknowledged after the commit, and the relay publishes the
/// outbox rows after it too. A crash anywhere in between repeats steps and changes nothing.
public struct ServiceRecords: Sendable {
    /// The database.
    public let database: any Records
    /// Publishes what handlers put into the outbox; run it as a service beside the subscriptions.
    public let relay: OutboxRelay
    /// What its own events name as their source.
    package let source: String
    /// The service's own tables.
    package let migrations: [Migration]
    /// Where effects go during a rebuild; nil at any other time.
    let rebuilding: RebuildLine?
    let outage: Outage
    let logger: Logger

    /// Opens the records of a service: makes or completes its tables, and those of the inbox and outbox.
    ///
    /// Handlers wait for a database that goes away later, without using up attempts, and the log says so.
    ///
    /// - Parameters:
    ///   - source: what its own events name as their source.
    ///   - migrations: the service's own tables.
    ///   - retention: how long the inbox and the outbox keep what is done.
    public init(
        _ database: any Records, source: String, migrations: [Migration], on broker: Broker,
        retention: RecordsRetention = RecordsRetention(),
        logger: Logger = Logger(label: "freshet", factory: { _ in SwiftLogNoOpLogHandler() })
    ) async throws {
        self.database = database
        self.source = source
        self.migrations = migrations
        self.logger = logger
        rebuilding = nil
        outage = Outage(logger)
        try await Self.migrate(database, source: source, migrations: migrations)
        relay = OutboxRelay(database, on: broker, retention: retention, logger: logger)
    }

    /// The records that handlers are given while these are made anew: their effects go to the line, and nothing is published.
    package init(rebuilding records: ServiceRecords, by line: RebuildLine, on broker: Broker) {
        database = RebuildDatabase(line: line, dialect: records.database.dialect)
        source = records.source
        migrations = records.migrations
        logger = records.logger
        rebuilding = line
        outage = records.outage
        relay = OutboxRelay(database, on: broker, retention: RecordsRetention(), logger: logger)
    }

    /// Makes or completes a service's tables, and those of the inbox and outbox.
    public static func migrate(_ database: any Records, source: String, migrations: [Migration]) async throws
    {
        try await database.migrate(InboxOutbox.migrations(for: database), of: "freshet")
        try await database.migrate(migrations, of: source)
        if Drill.isOn { try await makeJournal(in: database) }
    }

    /// What became of an event.
    public enum Handled: Sendable {
        /// Its effects are committed now.
        case applied
        /// They were before; nothing was changed.
        case duplicate
    }

    /// Applies an event's effects, unless this group has applied them before. When it returns they are committed; when
    /// it throws nothing is. Throws `StaleOwner` when the delivery's partition went to another owner (`.perKey`, with these
    /// records as the subscription's `fence`).
    @discardableResult
    public func handle(
        _ delivery: Delivery, _ body: @escaping @Sendable (Effects) throws -> Void
    ) async throws -> Handled {
        if let rebuilding { return try await rebuilding.handle(delivery, body) }
        try refuseRebuilding(delivery)
        let (source, announcement) = (source, relay.announcement)
        // Also when nobody knows whether it was committed: the inbox does.
        let (handled, publishes) = try await outage.sitOut {
            try await database.transaction(after: [InboxOutbox.entering(delivery)]) { transaction, entered in
                try check(delivery, in: transaction)
                guard entered == [1] else { return (Handled.duplicate, false) }
                let effects = Effects(
                    transaction: transaction, delivery: delivery, source: source, announcement: announcement)
                try body(effects)
                try reachedCommit(delivery, in: transaction)
                return (.applied, effects.hasPublished)
            }
        }
        Drill.reached(.afterCommit)
        if handled == .duplicate {
            logger.debug("handled before", metadata: ["event_id": "\(delivery.event.id)"])
        }
        if publishes { relay.wake() }
        return handled
    }

    /// Whether this group has applied the event's effects: for skipping a call to the outside world. `handle` decides.
    public func hasHandled(_ delivery: Delivery) async throws -> Bool {
        try await outage.sitOut { try await database.read { try InboxOutbox.contains(delivery, in: $0) } }
    }
}
