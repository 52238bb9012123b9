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
        var deleted = 0
        repeat {
            deleted = try await database.transaction { transaction in
                try transaction.execute(
                    """
                    DELETE FROM inbox WHERE (consumer_group, source, event_id) IN
                      (SELECT consumer_group, source, event_id FROM inbox WHERE handled_at < $1 LIMIT 1000)
                    """, inbox)
                    + transaction.execute(
                        "DELETE FROM outbox WHERE seq IN (SELECT seq FROM outbox WHERE published_at < $1 LIMIT 1000)",
                        outbox)
            }
        } while deleted > 0 && !Task.isCancelled
    }
}
