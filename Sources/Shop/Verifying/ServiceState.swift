internal import Freshet
internal import FreshetRecords

/// What a service's inbox and outbox say.
struct ServiceState: Sendable {
    /// An event that the owner of a partition has handled.
    struct Owned: Sendable {
        let event: History.Key
        /// The topic and the partition.
        let log: String
        let epoch: Int64
        /// Commits that follow each other have rising numbers; several events of one commit may have the same.
        let commit: Int64
    }

    let inbox: Set<History.Key>
    /// What left the outbox for a log.
    let published: Set<History.Key>
    /// What left the outbox for later, and when that is, in milliseconds.
    let scheduled: [History.Key: Int64]
    /// How many events are still in the outbox.
    let waiting: Int
    /// In the order of the commits; nil when the database does not say in which order that was.
    let owned: [Owned]?
    /// What a drill's journal says: each event as often as it had effects. Nil without one.
    let journal: [History.Key]?

    static func read(_ service: String, _ folder: ShopFolder) async throws -> ServiceState {
        let database = try folder.openDatabase(of: service)
        let commit = try await commitColumn(of: database)
        let hasJournal = try await hasJournal(database)
        return try await database.read { database in
            func key(_ row: RecordsRow) -> History.Key {
                History.Key(source: row.text("source") ?? "", id: row.text("event_id") ?? "")
            }
            let outbox = try database.query(
                "SELECT source, event_id, deliver_at FROM outbox WHERE published_at IS NOT NULL")
            let later = outbox.compactMap { row in row.integer("deliver_at").map { (key(row), $0) } }
            // Before the inbox, which knows of every effect that is there by now.
            let journal =
                try hasJournal
                ? database.query(
                    "SELECT source, event_id FROM effect_journal WHERE consumer_group = $1", .text(service)
                ).map(key) : nil
            return ServiceState(
                inbox: Set(
                    try database.query(
                        "SELECT source, event_id FROM inbox WHERE consumer_group = $1", .text(service)
                    ).map(key)),
                published: Set(outbox.filter { $0["deliver_at"] == .null }.map(key)),
                scheduled: Dictionary(later) { first, _ in first },
                waiting: try database.query("SELECT 1 AS one FROM outbox WHERE published_at IS NULL").count,
                owned: try commit.map { commit in
                    try database.query(
                        """
                        SELECT source, event_id, log, epoch, \(commit) AS place FROM inbox
                        WHERE consumer_group = $1 AND epoch IS NOT NULL AND \(commit) IS NOT NULL ORDER BY place
                        """, .text(service)
                    ).map { row in
                        Owned(
                            event: key(row), log: row.text("log") ?? "", epoch: row.integer("epoch") ?? 0,
                            commit: row.integer("place") ?? 0)
                    }
                },
                journal: journal)
        }
    }

    private static func hasJournal(_ database: any Records) async throws -> Bool {
        do {
            return try await database.read {
                try !$0.query("SELECT 1 AS one FROM effect_journal LIMIT 1").isEmpty
            }
        } catch let error as RecordsError where error.code == .statement {
            return false
        }
    }

    /// What rises with the commits. In SQLite transactions that write are alone, so it is the row's number; PostgreSQL says when
    /// each was committed if it was told to keep that.
    private static func commitColumn(of database: any Records) async throws -> String? {
        if let order = database.dialect.rowOrder { return order }
        let setting = try await database.read { try $0.query("SHOW track_commit_timestamp") }
        guard setting.first?.text("track_commit_timestamp") == "on" else { return nil }
        return "(extract(epoch FROM pg_xact_commit_timestamp(xmin)) * 1000000)::bigint"
    }
}
