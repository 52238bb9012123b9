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
    let source: String
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
        self.logger = logger
        outage = Outage(logger)
        try await Self.migrate(database, source: source, migrations: migrations)
        relay = OutboxRelay(database, on: broker, retention: retention, logger: logger)
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
            logger.debug("handled before", metadata: ["event": "\(delivery.event.id)"])
        }
        if publishes { relay.wake() }
        return handled
    }

    /// Whether this group has applied the event's effects: for skipping a call to the outside world. `handle` decides.
    public func hasHandled(_ delivery: Delivery) async throws -> Bool {
        try await outage.sitOut { try await database.read { try InboxOutbox.contains(delivery, in: $0) } }
    }
}

/// What a handler may do within its event's transaction.
public final class Effects: RecordsTransaction {
    /// The delivery whose effects these are.
    public let delivery: Delivery
    private let transaction: any RecordsTransaction
    private let source: String
    private(set) var hasPublished = false
    /// What is said with the first event that is published.
    private let announcement: RecordsStatement?

    init(
        transaction: any RecordsTransaction, delivery: Delivery, source: String,
        announcement: RecordsStatement? = nil
    ) {
        self.transaction = transaction
        self.delivery = delivery
        self.source = source
        self.announcement = announcement
    }

    /// Runs a statement; returns how many rows it changed.
    @discardableResult
    public func execute(_ sql: String, _ values: [RecordsValue]) throws -> Int {
        try transaction.execute(sql, values)
    }

    /// Runs a query; returns its rows.
    public func query(_ sql: String, _ values: [RecordsValue]) throws -> [RecordsRow] {
        try transaction.query(sql, values)
    }

    /// Runs a statement that nothing else in the handler depends on, without waiting for it.
    public func enqueue(_ sql: String, _ values: [RecordsValue]) throws {
        try transaction.enqueue(sql, values)
    }

    /// Makes transactions that lock the same name run one after the other from here on.
    public func lock(_ name: String) throws { try transaction.lock(name) }

    /// Publishes an event if and when the transaction commits, as the next part of the delivery's story.
    ///
    /// - Parameters:
    ///   - key: what must stay in order; events with the same key are published in the order of their commits.
    ///   - time: when it is to be delivered, not before; nil is at once.
    public func publish(
        _ payload: some EventPayload, to topic: Topic, key: String?, deliverAt time: Timestamp? = nil
    ) throws {
        let event = try Event(payload, source: source, key: key, causedBy: delivery.event)
        try InboxOutbox.add(event, to: topic, deliverAt: time, in: transaction)
        if !hasPublished, let announcement {
            try transaction.enqueue(announcement.sql, announcement.values)
        }
        hasPublished = true
    }
}
