package import Freshet

extension ServiceRecords {
    /// What of an outbox is not published yet.
    package struct OutboxDepth: Sendable {
        /// How many events; no more than were counted.
        package let count: Int
        /// When the first of them was made; nil when there is none.
        package let oldest: Timestamp?
    }

    /// What waits to be published now.
    ///
    /// - Parameter most: how many are counted at most.
    package func outboxDepth(countingUpTo most: Int = 100_000) async throws -> OutboxDepth {
        try await database.read { transaction in
            let count = try transaction.query(
                "SELECT count(*) AS waiting FROM (SELECT 1 FROM outbox WHERE published_at IS NULL LIMIT $1) AS w",
                .integer(most)
            ).first?.integer("waiting")
            let first = try transaction.query(
                "SELECT time FROM outbox WHERE published_at IS NULL ORDER BY seq LIMIT 1"
            ).first?.text("time")
            return OutboxDepth(count: Int(count ?? 0), oldest: first.flatMap { Timestamp($0) })
        }
    }
}
