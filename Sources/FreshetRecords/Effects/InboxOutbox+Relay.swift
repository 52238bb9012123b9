internal import Freshet
internal import Hiredis

/// The relay's statements: its lease, what waits, what was published, and the high-water mark of each log.
extension InboxOutbox {
    // MARK: - The lease

    enum LeaseOutcome {
        /// With a number that was never given out before, and the outbox's name.
        case held(Int64, String)
        /// For how many milliseconds more another process holds it.
        case refused(Int64)
    }

    /// Takes or keeps the relay's lease.
    ///
    /// - Parameter floor: what its number is above.
    static func holdLease(
        _ owner: String, now: Timestamp, for milliseconds: Int64, above floor: Int64,
        in transaction: any RecordsTransaction
    ) throws -> LeaseOutcome {
        // A lease that ends much later than any can was taken before the clock was set back. (Not any later:
        // another's may be newer than this clock's reading.)
        let held = try transaction.query(
            """
            UPDATE outbox_relay SET owner = $1, held_until = $2,
              mark = 1 + CASE WHEN mark < $3 THEN $3 ELSE mark END
            WHERE id = 1 AND (owner = $1 OR held_until < $4 OR held_until > $5) RETURNING mark, outbox
            """,
            .text(owner), .integer(now.milliseconds + milliseconds), .integer(floor),
            .integer(now.milliseconds), .integer(now.milliseconds + milliseconds + 60_000))
        if let row = held.first { return .held(row.integer("mark") ?? 0, row.text("outbox") ?? "") }
        let row = try transaction.query("SELECT held_until FROM outbox_relay WHERE id = 1").first
        return .refused(max(1, (row?.integer("held_until") ?? 0) - now.milliseconds))
    }

    /// Gives the relay's lease back.
    static func leaveLease(_ owner: String, in transaction: any RecordsTransaction) throws {
        try transaction.enqueue(
            "UPDATE outbox_relay SET held_until = 0 WHERE id = 1 AND owner = $1", .text(owner))
    }

    /// The outbox's name, which no other outbox has.
    static func name(in transaction: any RecordsTransaction) throws -> String {
        try transaction.query("SELECT outbox FROM outbox_relay WHERE id = 1").first?.text("outbox") ?? ""
    }

    // MARK: - What waits

    /// An event that waits to be published.
    struct Waiting: Sendable {
        let sequence: Int64
        let topic: Topic
        let event: Event
        let deliverAt: Timestamp?
    }

    /// The number of the first event that waits for a log that is none of these.
    static func firstWaiting(without logs: Set<OutboxLog>, in transaction: any RecordsTransaction) throws
        -> Int64?
    {
        let (condition, values) = condition(without: logs)
        return try transaction.query(
            "SELECT seq FROM outbox WHERE published_at IS NULL\(condition) ORDER BY seq LIMIT 1", values
        ).first?.integer("seq")
    }

    /// The number of the newest event that waits to be published; nil when none does.
    static func newestWaiting(in transaction: any RecordsTransaction) throws -> Int64? {
        try transaction.query("SELECT max(seq) AS newest FROM outbox WHERE published_at IS NULL").first?
            .integer("newest")
    }

    /// The first events that wait for logs that are none of these, with so many bytes of data in all, or one
    /// event.
    static func waiting(
        limit: Int, bytes: Int, without logs: Set<OutboxLog>, in transaction: any RecordsTransaction
    ) throws -> [Waiting] {
        let (condition, values) = condition(without: logs)
        let (most, count) = ("$\(values.count + 1)", "$\(values.count + 2)")
        // What stands ahead of the first is read once, and in the same statement: rows commit in another
        // order than that of their numbers.
        let first =
            condition.isEmpty
            ? ""
            : """
            WITH first AS MATERIALIZED (
              SELECT seq FROM outbox WHERE published_at IS NULL\(condition) ORDER BY seq LIMIT 1)

            """
        let start = condition.isEmpty ? "" : " AND seq >= (SELECT seq FROM first)"
        return try transaction.query(
            first + """
                SELECT * FROM outbox WHERE published_at IS NULL\(condition)\(start) AND seq <= (
                  SELECT coalesce(max(CASE WHEN total <= \(most) THEN seq END), min(seq)) FROM (
                    SELECT seq, sum(size) OVER (ORDER BY seq) AS total FROM (
                      SELECT seq, length(data) AS size FROM outbox WHERE published_at IS NULL\(condition)\(start)
                      ORDER BY seq LIMIT \(count)) AS sized) AS summed)
                ORDER BY seq LIMIT \(count)
                """, values + [.integer(bytes), .integer(limit)]
        ).map(waiting)
    }

    /// Rows of programs that noted no partition count as of each.
    private static func condition(without logs: Set<OutboxLog>) -> (String, [RecordsValue]) {
        var (text, values) = ("", [RecordsValue]())
        let topics = Dictionary(grouping: logs, by: \.topic.name).sorted { $0.key.rawValue < $1.key.rawValue }
        for (topic, logs) in topics {
            let place = 1 + values.count
            values.append(.text(topic.rawValue))
            values += logs.map(\.partition).sorted().map { .integer($0) }
            let partitions = logs.indices.map { "$\(place + 1 + $0)" }.joined(separator: ", ")
            text += " AND NOT (topic = $\(place) AND coalesce(log_partition, -1) IN (-1, \(partitions)))"
        }
        return (text, values)
    }

    static func waiting(_ row: RecordsRow) throws -> Waiting {
        let event = Event(
            id: row.text("event_id"), source: row.text("source") ?? "",
            type: try EventType(checking: row.text("type") ?? ""),
            schemaVersion: Int(row.integer("schema_version") ?? 1),
            time: row.text("time").flatMap { Timestamp($0) } ?? .now(),
            partitionKey: row.text("partition_key"),
            correlationID: row.text("correlation_id"), causationID: row.text("causation_id"),
            traceparent: row.text("traceparent"), data: EventData(row.bytes("data") ?? []))
        return Waiting(
            sequence: row.integer("seq") ?? 0, topic: try topic(row), event: event,
            deliverAt: row.integer("deliver_at").map { Timestamp(milliseconds: $0) })
    }

    private static func topic(_ row: RecordsRow) throws -> Topic {
        Topic(
            try TopicName(checking: row.text("topic") ?? ""),
            partitions: Int(row.integer("partitions") ?? 1))
    }

    // MARK: - What was published

    /// Marks what was published, each row by its number: a range of numbers could hold one that was committed
    /// since.
    ///
    /// - Parameters:
    ///   - rows: with the position in the log; nil of one that waits for its time.
    ///   - mark: the mark of their batch.
    static func mark(
        _ rows: [(row: Waiting, id: StreamID?)], _ mark: Int64, in transaction: any RecordsTransaction,
        dialect: SQLDialect
    ) throws {
        var rows = rows[...]
        let now = RecordsValue.text(Timestamp.now().description)
        // Few texts, so that each is prepared once. PostgreSQL joins so many with a look at the whole table
        // as long as it has no statistics of it (a third of the server's time in the demo); statements that
        // do not wait are cheap there.
        for size in dialect.rowOrder == nil ? [] : [64, 8] {
            while rows.count >= size {
                let places = (0..<size).map {
                    "(CAST($\(2 * $0 + 3) AS BIGINT), CAST($\(2 * $0 + 4) AS TEXT))"
                }
                try transaction.enqueue(
                    """
                    UPDATE outbox SET published_at = $1, mark = $2, stream_id = marked.column2
                    FROM (VALUES \(places.joined(separator: ", "))) AS marked WHERE seq = marked.column1
                    """,
                    [now, .integer(mark)]
                        + rows.prefix(size).flatMap { row, id in
                            [.integer(row.sequence), .text(orNull: id?.description)]
                        })
                rows.removeFirst(size)
            }
        }
        for (row, id) in rows {
            try transaction.enqueue(
                "UPDATE outbox SET published_at = $1, mark = $2, stream_id = $3 WHERE seq = $4", now,
                .integer(mark), .text(orNull: id?.description), .integer(row.sequence))
        }
    }

    /// Has a row published again.
    static func unpublish(_ sequence: Int64, in transaction: any RecordsTransaction) throws {
        try transaction.enqueue(
            "UPDATE outbox SET published_at = NULL, mark = NULL, stream_id = NULL WHERE seq = $1",
            .integer(sequence))
    }

    /// An event that was published.
    struct Published: Sendable {
        let sequence: Int64
        let log: OutboxLog
        let mark: Int64
        let source: String
        let eventID: String
        /// Nil for one that was to wait for its time.
        let id: StreamID?
    }

    /// The next rows behind this one that were published with a mark above this one.
    static func published(
        above mark: Int64, after sequence: Int64, limit: Int, in transaction: any RecordsTransaction
    ) throws -> [Published] {
        try transaction.query(
            """
            SELECT seq, topic, partitions, partition_key, mark, source, event_id, stream_id FROM outbox
            WHERE mark > $1 AND seq > $2 ORDER BY seq LIMIT $3
            """, .integer(mark), .integer(sequence), .integer(limit)
        ).map { row in
            let (topic, id) = (try topic(row), row.text("event_id") ?? "")
            return Published(
                sequence: row.integer("seq") ?? 0,
                log: OutboxLog(
                    topic: topic, partition: topic.partition(ofKey: row.text("partition_key") ?? id)),
                mark: row.integer("mark") ?? 0, source: row.text("source") ?? "", eventID: id,
                id: row.text("stream_id").flatMap { StreamID($0) })
        }
    }

    // MARK: - Marks

    /// The mark of the newest batch in each log that was ever published to.
    static func marks(in transaction: any RecordsTransaction) throws -> [OutboxLog: Int64] {
        let rows = try transaction.query("SELECT topic, partitions, partition, mark FROM outbox_marks")
        return Dictionary(
            try rows.map { row in
                let log = OutboxLog(topic: try topic(row), partition: Int(row.integer("partition") ?? 0))
                return (log, row.integer("mark") ?? 0)
            }, uniquingKeysWith: max)
    }

    static func set(_ mark: Int64, of log: OutboxLog, in transaction: any RecordsTransaction) throws {
        try transaction.enqueue(
            """
            INSERT INTO outbox_marks (topic, partitions, partition, mark) VALUES ($1, $2, $3, $4)
            ON CONFLICT (topic, partition) DO UPDATE SET partitions = excluded.partitions, mark = excluded.mark
            """, .text(log.topic.name.rawValue), .integer(log.topic.partitions), .integer(log.partition),
            .integer(mark))
    }
}
