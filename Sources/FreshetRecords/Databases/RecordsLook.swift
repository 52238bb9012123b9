internal import FoundationEssentials
internal import Freshet

/// How a service's database stands, by a look that changes nothing.
public struct RecordsLook: Sendable, Codable {
    /// The newest step of the tables that each owner has: `freshet` for the inbox and the outbox, and the service's own. Empty when
    /// no service has ever migrated the database.
    public let steps: [String: Int]
    /// The newest step of the inbox and the outbox that this program knows.
    public let knownStep: Int
    /// How many events of the outbox are not published yet, counted up to `RecordsLook.most`.
    public let unpublished: Int
    /// Seconds since the oldest of them was written, by this machine's clock; nil when there is none.
    public let oldestUnpublishedSeconds: Double?

    /// How many events of an outbox are counted.
    public static let most = 100_000
}

extension RecordsDatabase {
    /// Looks at the database that a URL names (see `open`). Nothing is made or migrated; SQLite's file is opened for reading only.
    ///
    /// - Throws: `invalidURL`, `cannotOpen` for a file that is not there, `unavailable`.
    public static func look(url: String) async throws -> RecordsLook {
        let records: any Records
        if url.hasPrefix("sqlite:") {
            let path = url.dropFirst("sqlite:".count).prefix { $0 != "?" }
            guard FileManager.default.fileExists(atPath: String(path)) else {
                throw RecordsError(.cannotOpen, "there is no file '\(path)'")
            }
            records = try SQLiteRecords(readingOnly: String(path))
        } else {
            records = try open(url: url)
        }
        let known = InboxOutbox.migrations(for: records).map(\.number).max() ?? 0
        let isThere =
            records.dialect.rowOrder == nil
            ? "SELECT CASE WHEN to_regclass($1) IS NULL THEN 0 ELSE 1 END AS found"
            : "SELECT count(*) AS found FROM sqlite_master WHERE name = $1"
        return try await records.read { transaction in
            func isThereTable(_ name: String) throws -> Bool {
                try transaction.query(isThere, .text(name)).first?.integer("found") == 1
            }
            guard try isThereTable("freshet_migrations") else {
                return RecordsLook(
                    steps: [:], knownStep: known, unpublished: 0, oldestUnpublishedSeconds: nil)
            }
            var steps: [String: Int] = [:]
            for row in try transaction.query(
                "SELECT owner, max(number) AS newest FROM freshet_migrations GROUP BY owner")
            {
                steps[row.text("owner") ?? ""] = Int(row.integer("newest") ?? 0)
            }
            guard try isThereTable("outbox") else {
                return RecordsLook(
                    steps: steps, knownStep: known, unpublished: 0, oldestUnpublishedSeconds: nil)
            }
            let count = try transaction.query(
                "SELECT count(*) AS waiting FROM (SELECT 1 FROM outbox WHERE published_at IS NULL LIMIT \(RecordsLook.most)) AS unpublished"
            ).first?.integer("waiting")
            let oldest = try transaction.query(
                "SELECT time FROM outbox WHERE published_at IS NULL ORDER BY seq LIMIT 1"
            ).first?.text("time").flatMap { Timestamp($0) }
            return RecordsLook(
                steps: steps, knownStep: known, unpublished: Int(count ?? 0),
                oldestUnpublishedSeconds: oldest.map {
                    max(0, Double(Timestamp.now().milliseconds - $0.milliseconds) / 1000)
                })
        }
    }
}
