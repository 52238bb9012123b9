internal import FoundationEssentials
public import Freshet
internal import Hiredis

/// What a rewind did: kept, so that it can be undone.
public struct RewindRecord: Sendable, Codable {
    /// Names it.
    public let id: String
    /// The topic.
    public let topic: TopicName
    /// The group whose position was moved.
    public let group: GroupName
    /// What was moved.
    public let moves: [Rewind.Move]
}

extension Broker {
    /// Makes a rewind's moves while no replay to the group is under way, and keeps a record of them, which is there before the first one;
    /// returns it and how many waiting readers were woken. Throws `busy` while a replay is under way, and what `Rewind.run` throws:
    /// moves that were made before stay.
    ///
    /// - Parameters:
    ///   - undone: the rewind that these moves undo; nil for none.
    ///   - onRecord: called with the record before the first move.
    ///   - onMove: called after each move.
    public func perform(
        _ rewind: Rewind, _ moves: [Rewind.Move], topic: TopicName, group: GroupName, by actor: Operator,
        undoing undone: String? = nil, onRecord: (RewindRecord) -> Void = { _ in },
        onMove: (Rewind.Move) -> Void = { _ in }
    ) async throws -> (record: RewindRecord, woken: Int) {
        let lock = try await ReplayLock(namespace.replayingKey(topic, group), on: self)
        // On record before anything is moved: who dies on the way leaves something to undo. A partition that was not moved stands where
        // it is to go back to.
        let record = RewindRecord(id: EventID.make(), topic: topic, group: group, moves: moves)
        do {
            let partitions = (moves.map(\.partition).max() ?? 0) + 1
            var histories = try await histories(of: topic, partitions: partitions)
            try await keep(record)
            onRecord(record)
            let summary = moves.map { "\($0.partition): \($0.from) to \($0.to)" }.joined(separator: ", ")
            try await audit(
                undone == nil ? "replay.rewind" : "replay.rewind.undo", by: actor, topic: topic,
                target: group.rawValue, replay: undone ?? record.id, details: summary)
            var kept = lock
            var woken = try await rewind.run(moves) { move async throws(FreshetError) in
                onMove(move)
                try await kept.keep()
            }
            // A server with another history by now may have lost some of it.
            while case let now = try await self.patientHistories(of: topic, partitions: partitions),
                now != histories
            {
                histories = now
                try await lock.hold()
                try await keep(record)
                woken += try await rewind.runAgain(moves)
            }
            await lock.release()
            return (record, woken)
        } catch {
            await lock.release()
            throw error
        }
    }

    private func keep(_ record: RewindRecord) async throws {
        let text = String(decoding: try JSONEncoder().encode(record), as: UTF8.self)
        _ = try await send(RedisCommand("SET", rewindKey(record.id), text, "EX", 90 * 86_400))
    }

    /// What the rewind of this id did. Throws `notFound`.
    public func rewindRecord(_ id: String) async throws -> RewindRecord {
        guard let text = try await send(RedisCommand("GET", rewindKey(id))).bytes else {
            throw FreshetError(
                .notFound, "no rewind '\(id)' in the namespace '\(namespace)' (see: replay audit)")
        }
        return try JSONDecoder().decode(RewindRecord.self, from: Data(text.array))
    }

    private func rewindKey(_ id: String) -> String { "\(namespace):rewind:{\(id)}" }
}
