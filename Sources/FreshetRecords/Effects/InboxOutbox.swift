internal import Freshet
internal import Hiredis

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
        "inbox", "outbox", "outbox_relay", "outbox_logs", "partition_owners", "freshet_migrations",
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
              correlation_id, causation_id, traceparent, data, deliver_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
            """,
            .text(topic.name.rawValue), .integer(topic.partitions), .text(event.id), .text(event.source),
            .text(event.type.rawValue), .integer(event.schemaVersion), .text(event.time.description),
            .text(orNull: event.partitionKey), .text(orNull: event.correlationID),
            .text(orNull: event.causationID),
            .text(orNull: event.traceparent), .bytes(event.data.bytes),
            time.map { .integer($0.milliseconds) } ?? .null)
    }

    /// An event that waits to be published.
    struct Waiting: Sendable {
        let sequence: Int64
        let topic: Topic
        let event: Event
        let deliverAt: Timestamp?
    }

    static func waiting(limit: Int, in transaction: any RecordsTransaction) throws -> [Waiting] {
        try transaction.query(
            "SELECT * FROM outbox WHERE published_at IS NULL ORDER BY seq LIMIT $1", .integer(limit)
        ).map(waiting)
    }

    static func waiting(_ row: RecordsRow) throws -> Waiting {
        let topic = Topic(
            try TopicName(checking: row.text("topic") ?? ""),
            partitions: Int(row.integer("partitions") ?? 1))
        let event = Event(
            id: row.text("event_id"), source: row.text("source") ?? "",
            type: try EventType(checking: row.text("type") ?? ""),
            schemaVersion: Int(row.integer("schema_version") ?? 1),
            time: row.text("time").flatMap { Timestamp($0) } ?? .now(),
            partitionKey: row.text("partition_key"),
            correlationID: row.text("correlation_id"), causationID: row.text("causation_id"),
            traceparent: row.text("traceparent"), data: EventData(row.bytes("data") ?? []))
        return Waiting(
            sequence: row.integer("seq") ?? 0, topic: topic, event: event,
            deliverAt: row.integer("deliver_at").map { Timestamp(milliseconds: $0) })
    }

    /// The number of the newest event that waits to be published; nil when none does.
    static func newestWaiting(in transaction: any RecordsTransaction) throws -> Int64? {
        try transaction.query("SELECT max(seq) AS newest FROM outbox WHERE published_at IS NULL").first?
            .integer("newest")
    }

    /// Gives the relay's lease back.
    static func leaveLease(_ owner: String, in transaction: any RecordsTransaction) throws {
        try transaction.enqueue(
            "UPDATE outbox_relay SET held_until = 0 WHERE id = 1 AND owner = $1", .text(owner))
    }

    /// Marks what was published, each row by its number: a range of numbers could hold one that was committed since.
    ///
    /// - Parameter id: where it stands in its log; nil when it waits for its time.
    static func mark(
        _ rows: [(row: Waiting, id: StreamID?)], in transaction: any RecordsTransaction, dialect: SQLDialect
    ) throws {
        var rows = rows[...]
        let now = RecordsValue.text(Timestamp.now().description)
        // Few texts, so that each is prepared once. PostgreSQL joins so many with a look at the whole table as long as it has no
        // statistics of it (a third of the server's time in the demo); statements that do not wait are cheap there.
        for size in dialect.rowOrder == nil ? [] : [64, 8] {
            while rows.count >= size {
                let places = (0..<size).map {
                    "(CAST($\(2 * $0 + 2) AS BIGINT), CAST($\(2 * $0 + 3) AS TEXT))"
                }
                try transaction.enqueue(
                    """
                    UPDATE outbox SET published_at = $1, stream_id = marked.column2
                    FROM (VALUES \(places.joined(separator: ", "))) AS marked WHERE seq = marked.column1
                    """,
                    [now]
                        + rows.prefix(size).flatMap { row, id in
                            [.integer(row.sequence), .text(orNull: id?.description)]
                        })
                rows.removeFirst(size)
            }
        }
        for (row, id) in rows {
            try transaction.enqueue(
                "UPDATE outbox SET published_at = $1, stream_id = $2 WHERE seq = $3", now,
                .text(orNull: id?.description), .integer(row.sequence))
        }
    }

    /// Takes or keeps the relay's lease. Returns 0, or for how many milliseconds more another process holds it.
    static func holdLease(
        _ owner: String, now: Timestamp, for milliseconds: Int64, in transaction: any RecordsTransaction
    ) throws -> Int64 {
        let changes = try transaction.execute(
            // A lease that ends much later than any can was taken before the clock was set back. (Not any later: another's
            // may be newer than this clock's reading.)
            "UPDATE outbox_relay SET owner = $1, held_until = $2 WHERE id = 1 "
                + "AND (owner = $1 OR held_until < $3 OR held_until > $4)",
            .text(owner), .integer(now.milliseconds + milliseconds), .integer(now.milliseconds),
            .integer(now.milliseconds + milliseconds + 60_000))
        if changes == 1 { return 0 }
        let row = try transaction.query("SELECT held_until FROM outbox_relay WHERE id = 1").first
        return max(1, (row?.integer("held_until") ?? 0) - now.milliseconds)
    }
}
