internal import Freshet
internal import Logging

/// How long a service's database keeps what is done. Older rows are deleted in the background, a thousand at a time.
public struct RecordsRetention: Sendable, Hashable {
    /// How long the inbox knows an event: longer than any log, dead letter or archive that can bring it again. A replay of
    /// something older does it again.
    public var inbox = Duration.seconds(30 * 86_400)
    /// How long the outbox keeps what was published; at least the ten minutes in which it is looked for after a failover.
    public var outbox = Duration.seconds(86_400)

    /// Thirty days and one.
    public init() {}
}

extension OutboxRelay {
    /// Deletes what is older than the retention; a little at a time, so that nobody waits long.
    func prune() async throws {
        let retention = retention
        func before(_ age: Duration) -> RecordsValue {
            .text(
                Timestamp(milliseconds: Timestamp.now().milliseconds - age.components.seconds * 1000)
                    .description)
        }
        let (inbox, outbox) = (before(retention.inbox), before(max(retention.outbox, .seconds(600))))
        // The oldest rows come first in the order of their numbers, or are found by an index that costs next to nothing.
        let oldest =
            database.dialect.rowOrder.map { order in
                """
                \(order) IN (SELECT place FROM
                  (SELECT \(order) AS place, handled_at FROM inbox ORDER BY \(order) LIMIT 1000) AS first
                  WHERE handled_at < $1)
                """
            } ?? """
                (consumer_group, source, event_id) IN
                  (SELECT consumer_group, source, event_id FROM inbox WHERE handled_at < $1 LIMIT 1000)
                """
        var deleted = 0
        repeat {
            deleted = try await database.transaction { transaction in
                try transaction.execute("DELETE FROM inbox WHERE " + oldest, inbox)
                    + transaction.execute(
                        """
                        DELETE FROM outbox WHERE seq IN (SELECT seq FROM
                          (SELECT seq, published_at FROM outbox ORDER BY seq LIMIT 1000) AS first WHERE published_at < $1)
                        """, outbox)
            }
        } while deleted > 0 && !Task.isCancelled
    }
}
