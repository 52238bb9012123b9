internal import Freshet

/// The statements of the inbox and the outbox.
enum InboxOutbox {
    static func migrations(for database: any Records) -> [Migration] {
        [
            Migration(
                1, "inbox and outbox",
                [
                    """
                    CREATE TABLE inbox (
                      consumer_group TEXT NOT NULL, source TEXT NOT NULL, event_id TEXT NOT NULL,
                      handled_at TEXT NOT NULL, PRIMARY KEY (consumer_group, source, event_id))
                    """,
                    """
                    CREATE TABLE outbox (
                      seq \(database.dialect.identityColumn), topic TEXT NOT NULL, partitions INTEGER NOT NULL,
                      event_id TEXT NOT NULL, source TEXT NOT NULL, type TEXT NOT NULL,
                      schema_version INTEGER NOT NULL, time TEXT NOT NULL, partition_key TEXT,
                      correlation_id TEXT, causation_id TEXT, traceparent TEXT, data \(database.dialect.bytesColumn) NOT NULL,
                      published_at TEXT)
                    """,
                    "CREATE INDEX outbox_unpublished ON outbox (seq) WHERE published_at IS NULL",
                    """
                    CREATE TABLE outbox_relay (
                      id INTEGER PRIMARY KEY, owner TEXT NOT NULL, held_until BIGINT NOT NULL)
                    """,
                    "INSERT INTO outbox_relay (id, owner, held_until) VALUES (1, '', 0)",
                ]),
            Migration(
                2, "owners of partitions",
                [
                    """
                    CREATE TABLE partition_owners (
                      topic TEXT NOT NULL, consumer_group TEXT NOT NULL, partition INTEGER NOT NULL, owner TEXT NOT NULL,
                      epoch BIGINT NOT NULL, PRIMARY KEY (topic, consumer_group, partition))
                    """
                ]),
            Migration(
                3, "where events of the outbox went, and how old rows are",
                [
                    "ALTER TABLE outbox ADD COLUMN stream_id TEXT",
                    "ALTER TABLE outbox ADD COLUMN deliver_at BIGINT",
                    "CREATE INDEX outbox_published ON outbox (published_at)",
                    "CREATE INDEX inbox_handled ON inbox (handled_at)",
                    "CREATE TABLE outbox_logs (log TEXT PRIMARY KEY, history TEXT NOT NULL)",
                ]),
            Migration(
                4, "under which owner of its partition an event was handled",
                ["ALTER TABLE inbox ADD COLUMN log TEXT", "ALTER TABLE inbox ADD COLUMN epoch BIGINT"]),
            // Each cost every event an insertion into a tree, and the oldest rows are found without: see `prune`.
            Migration(
                5, "indexes of ages",
                ["DROP INDEX outbox_published", "DROP INDEX inbox_handled"]
                    + (database.dialect.rowOrder == nil
                        ? ["CREATE INDEX inbox_handled ON inbox USING brin (handled_at)"] : [])),
            // `outbox_logs` stays for programs of before that run beside this one.
            Migration(
                6, "high-water marks of what was published",
                [
                    "ALTER TABLE outbox ADD COLUMN mark BIGINT",
                    "ALTER TABLE outbox ADD COLUMN log_partition INTEGER",
                    "ALTER TABLE outbox_relay ADD COLUMN mark BIGINT NOT NULL DEFAULT 0",
                    "ALTER TABLE outbox_relay ADD COLUMN outbox TEXT NOT NULL DEFAULT ''",
                    "UPDATE outbox_relay SET outbox = '\(EventID.make())'",
                    """
                    CREATE TABLE outbox_marks (
                      topic TEXT NOT NULL, partitions INTEGER NOT NULL, partition INTEGER NOT NULL, mark BIGINT NOT NULL,
                      PRIMARY KEY (topic, partition))
                    """,
                ]),
        ]
    }

    /// Changes no row when the group has the event already. With an owner of the partition its epoch is noted, so that anyone can
    /// see that the owners' commits follow each other.
    static func entering(_ delivery: Delivery) -> RecordsStatement {
        let event = delivery.event
        guard let claim = delivery.claim else {
            return RecordsStatement(
                """
                INSERT INTO inbox (consumer_group, source, event_id, handled_at) VALUES ($1, $2, $3, $4)
                ON CONFLICT DO NOTHING
                """,
                .text(delivery.group.rawValue), .text(event.source), .text(event.id),
                .text(Timestamp.now().description))
        }
        return RecordsStatement(
            """
            INSERT INTO inbox (consumer_group, source, event_id, handled_at, log, epoch) VALUES ($1, $2, $3, $4, $5, $6)
            ON CONFLICT DO NOTHING
            """,
            .text(delivery.group.rawValue), .text(event.source), .text(event.id),
            .text(Timestamp.now().description), .text("\(delivery.topic):\(delivery.partition)"),
            .integer(claim.epoch))
    }

    /// Notes an event that a rebuild has met and no handler is for; it never reaches the inbox in use.
    static func passingOver(_ delivery: Delivery) -> RecordsStatement {
        RecordsStatement(
            """
            INSERT INTO inbox (consumer_group, source, event_id, handled_at, log) VALUES ($1, $2, $3, '', '')
            ON CONFLICT DO NOTHING
            """,
            .text(delivery.group.rawValue), .text(delivery.event.source), .text(delivery.event.id))
    }

    /// All tables that are not a service's own.
    static let tables: Set<String> = [
        "inbox", "outbox", "outbox_relay", "outbox_logs", "outbox_marks", "partition_owners",
        "freshet_migrations",
        "effect_journal", "freshet_merge",
    ]

    static func contains(_ delivery: Delivery, in transaction: any RecordsTransaction) throws -> Bool {
        try !transaction.query(
            "SELECT 1 AS found FROM inbox WHERE consumer_group = $1 AND source = $2 AND event_id = $3",
            .text(delivery.group.rawValue), .text(delivery.event.source), .text(delivery.event.id)
        ).isEmpty
    }

    static func handledCount(
        of events: ArraySlice<(source: String, id: String)>, by group: GroupName,
        in transaction: any RecordsTransaction
    ) throws -> Int {
        let places = (0..<events.count).map { "($\(2 * $0 + 2), $\(2 * $0 + 3))" }.joined(separator: ", ")
        let rows = try transaction.query(
            """
            SELECT count(*) AS found FROM inbox WHERE consumer_group = $1 AND (source, event_id) IN (VALUES \(places))
            """,
            [.text(group.rawValue)] + events.flatMap { [.text($0.source), .text($0.id)] })
        return Int(rows.first?.integer("found") ?? 0)
    }

    static func add(
        _ event: Event, to topic: Topic, deliverAt time: Timestamp?, in transaction: any RecordsTransaction,
        schema: String = ""
    ) throws {
        try transaction.enqueue(
            """
            INSERT INTO \(schema)outbox (topic, partitions, event_id, source, type, schema_version, time, partition_key,
              correlation_id, causation_id, traceparent, data, deliver_at, log_partition)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
            """,
            .text(topic.name.rawValue), .integer(topic.partitions), .text(event.id), .text(event.source),
            .text(event.type.rawValue), .integer(event.schemaVersion), .text(event.time.description),
            .text(orNull: event.partitionKey), .text(orNull: event.correlationID),
            .text(orNull: event.causationID),
            .text(orNull: event.traceparent), .bytes(event.data.bytes),
            time.map { .integer($0.milliseconds) } ?? .null,
            .integer(Publisher.partition(of: event, in: topic)))
    }
}
