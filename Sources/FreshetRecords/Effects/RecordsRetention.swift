internal import Freshet
internal import Logging

/// How long a service's database keeps what is done. Older rows are deleted in the background, a thousand at a time.
public struct RecordsRetention: Sendable, Hashable {
    /// How long the inbox knows an event: longer than any log, dead letter or archive that can bring it again. A replay of
    /// something older does it again.
    public var inbox = Duration.seconds(30 * 86_400)
    /// How long the outbox keeps what was published, at least ten minutes: what a server loses that was
    /// published before cannot be brought back. Longer than the age of any snapshot or replica that a server
    /// may come back from. What waits for its time is kept until then and so much longer.
    public var outbox = Duration.seconds(86_400)

    /// Thirty days and one.
    public init() {}
}

extension OutboxRelay {
    private static let pruned = 1000

    /// Deletes what is older than the retention; a little at a time, so that nobody waits long. The outbox is
    /// left alone while a log is not known to have all that was published to it, however long that takes;
    /// false then.
    func prune() async throws -> Bool {
        func before(_ age: Duration) -> Timestamp {
            Timestamp(milliseconds: Timestamp.now().milliseconds - age.components.seconds * 1000)
        }
        let inbox = before(retention.inbox).description
        // The oldest rows come first in the order of their numbers, or are found by an index that costs next to nothing.
        let oldest =
            database.dialect.rowOrder.map { order in
                """
                \(order) IN (SELECT place FROM
                  (SELECT \(order) AS place, handled_at FROM inbox ORDER BY \(order) LIMIT \(Self.pruned)) AS first
                  WHERE handled_at < $1)
                """
            } ?? """
                (consumer_group, source, event_id) IN
                  (SELECT consumer_group, source, event_id FROM inbox WHERE handled_at < $1 LIMIT \(Self.pruned))
                """
        var deleted = 0
        repeat {
            deleted = try await database.transaction { transaction in
                try transaction.execute("DELETE FROM inbox WHERE " + oldest, .text(inbox))
            }
        } while deleted > 0 && !Task.isCancelled
        guard logs.wereWholeLately else { return false }
        let end = before(max(retention.outbox, .seconds(600)))
        var last: Int64? = Int64.min
        while let place = last, !Task.isCancelled {
            last = try await database.transaction {
                try InboxOutbox.prune(before: end, behind: place, most: Self.pruned, in: $0)
            }
        }
        return true
    }
}

extension InboxOutbox {
    /// Deletes what was published before then, of so many rows behind this one. Returns where to go on: rows
    /// that stay, because they wait, are no end.
    fileprivate static func prune(
        before end: Timestamp, behind place: Int64, most: Int, in transaction: any RecordsTransaction
    ) throws -> Int64? {
        let rows = try transaction.query(
            "SELECT seq, published_at FROM outbox WHERE seq > $1 ORDER BY seq LIMIT $2", .integer(place),
            .integer(most))
        guard let last = rows.last?.integer("seq") else { return nil }
        try transaction.execute(
            """
            DELETE FROM outbox WHERE seq > $1 AND seq <= $2 AND published_at < $3
              AND (deliver_at IS NULL OR deliver_at < $4)
            """, .integer(place), .integer(last), .text(end.description), .integer(end.milliseconds))
        let isYoung = rows.contains { row in row.text("published_at").map { $0 >= end.description } ?? false }
        return isYoung || rows.count < most ? nil : last
    }
}
