internal import Freshet
internal import Hiredis
internal import Logging
internal import Synchronization

/// One partition's log.
struct OutboxLog: Hashable {
    let topic: Topic
    let partition: Int
}

extension InboxOutbox.Waiting {
    /// Where it goes: an event without a key by its own id, so that it goes there again.
    var log: OutboxLog {
        OutboxLog(topic: topic, partition: topic.partition(ofKey: event.partitionKey ?? event.id))
    }
}

/// Whose history each log had when it was last looked at, and when that was.
final class LogHistories: Sendable {
    private struct State {
        var known: [OutboxLog: String] = [:]
        var lookedAt = ContinuousClock.now
    }
    private let state = Guarded(State())

    subscript(log: OutboxLog) -> String? {
        get { state.withLock { $0.known[log] } }
        set { state.withLock { $0.known[log] = newValue } }
    }

    /// The logs to look at though nothing is published to them: all, every five seconds.
    var due: Set<OutboxLog> {
        state.withLock { state in
            guard state.lookedAt + .seconds(5) < .now else { return [] }
            state.lookedAt = .now
            return Set(state.known.keys)
        }
    }
}

/// Events that a server acknowledged and does not have any more: after a failover, whose new primary lacks what the old one had
/// not handed on, or a restart from an older snapshot.
///
/// Such a server says that its history is another one (`master_replid` in INFO, Redis' own mark of a data set). The events of
/// the outbox that were published in the last ten minutes and are not in the log are published again, before anything that follows
/// them. What retention or a queue has deleted is not lost: it is older than the log's first entry, or no newer than the newest that
/// was deleted from it.
extension OutboxRelay {
    private static let margin: Int64 = 600_000

    /// Looks at the logs that it has published to.
    func restoreKnown() async throws {
        let due = histories.due
        if !due.isEmpty { _ = try await restore(due) }
    }

    /// True when something is to be published again.
    func restore(_ logs: Set<OutboxLog>) async throws -> Bool {
        var hasLost = false
        for (log, history) in try await present(logs) where histories[log] != history {
            let key = key(of: log)
            let before = try await database.read { transaction in
                try transaction.query("SELECT history FROM outbox_logs WHERE log = $1", .text(key)).first?
                    .text("history")
            }
            var lost: [Int64] = []
            if let before, before != history { lost = try await losses(of: log, key) }
            let sequences = lost
            try await database.transaction { transaction in
                for sequence in sequences {
                    try transaction.enqueue(
                        "UPDATE outbox SET published_at = NULL, stream_id = NULL WHERE seq = $1",
                        .integer(sequence))
                }
                try transaction.execute(
                    """
                    INSERT INTO outbox_logs (log, history) VALUES ($1, $2)
                    ON CONFLICT (log) DO UPDATE SET history = excluded.history
                    """, .text(key), .text(history))
            }
            histories[log] = history
            if !lost.isEmpty {
                hasLost = true
                logger.error(
                    "a log has lost events of the outbox, publishing them again",
                    metadata: ["log": "\(key)", "count": "\(lost.count)"])
            }
        }
        return hasLost
    }

    private func key(of log: OutboxLog) -> String { broker.keys(log.topic.name, log.partition).events }

    /// Whose history each log has now; one round trip for all.
    private func present(_ logs: Set<OutboxLog>) async throws -> [(OutboxLog, String)] {
        var pipeline = RedisPipeline()
        for log in logs {
            // In a cluster a command without a key goes with the one before it.
            pipeline.append("EXISTS", key(of: log))
            pipeline.append("INFO", "replication")
        }
        let replies = try await broker.client.send(pipeline)
        return zip(logs, stride(from: 1, to: replies.count, by: 2)).map { log, index in
            let lines = (replies[index].string ?? "").split(whereSeparator: \.isNewline)
            let line = lines.first { $0.hasPrefix("master_replid:") }
            return (log, line.map { String($0.dropFirst("master_replid:".count)) } ?? "")
        }
    }

    /// The outbox' numbers of the events that the log lacks.
    private func losses(of log: OutboxLog, _ key: String) async throws -> [Int64] {
        let since = Timestamp(milliseconds: Timestamp.now().milliseconds - Self.margin).description
        let topic = log.topic
        let rows = try await database.read { transaction in
            try transaction.query(
                """
                SELECT seq, source, event_id, partition_key, stream_id FROM outbox
                WHERE topic = $1 AND (published_at > $2 AND stream_id IS NOT NULL OR deliver_at > $3) ORDER BY seq
                """, .text(topic.name.rawValue), .text(since), .integer(Timestamp.now().milliseconds)
            ).compactMap { row -> Published? in
                let (source, event) = (row.text("source") ?? "", row.text("event_id") ?? "")
                guard topic.partition(ofKey: row.text("partition_key") ?? event) == log.partition else {
                    return nil
                }
                return Published(
                    seq: row.integer("seq") ?? 0, name: Self.name(source, event),
                    id: row.text("stream_id").flatMap { StreamID($0) })
            }
        }
        // Those that wait for their time are put there again, which changes nothing where they are.
        let waiting = rows.filter { $0.id == nil }.map(\.seq)
        guard let first = rows.compactMap(\.id).min() else { return waiting }
        let deleted = try await lastDeleted(key)
        var found: Set<String> = []
        var next: StreamID? = first
        while let start = next {
            let page = try await broker.client.send(.xrange(key, start ... .newest, count: 500))
            for entry in page {
                found.insert(Self.name(entry.field("source")?.string ?? "", entry.field("id")?.string ?? ""))
            }
            next = page.count < 500 ? nil : page.last?.id.successor
        }
        return waiting
            + rows.filter { row in row.id.map { $0 > deleted } ?? false && !found.contains(row.name) }.map(
                \.seq)
    }

    private struct Published {
        let seq: Int64
        let name: String
        /// Nil when it waits for its time.
        let id: StreamID?
    }

    /// What is no newer than this was trimmed, or deleted one by one.
    private func lastDeleted(_ key: String) async throws -> StreamID {
        do throws(RedisError) {
            let log = try await broker.client.send(.xinfoStream(key))
            let trimmed = log.firstID.map { $0.predecessor ?? .zero } ?? log.lastGeneratedID
            return max(log.newestDeletedID ?? .zero, trimmed)
        } catch {
            // There is no such log any more: all is lost.
            if error.code == .server, error.message.contains("no such key") { return .zero }
            throw error
        }
    }

    private static func name(_ source: String, _ id: String) -> String {
        "\(source.utf8.count) \(source)\(id)"
    }
}
