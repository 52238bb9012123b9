public import Freshet
public import Hiredis

/// Moves a group's own position in a topic: it reads again, or passes over, what lies between.
///
/// The group must hold nothing of the log: entries that are pending would be delivered twice at the same time, with
/// their delivery counts set back (measured on Redis 7.0 to 8.6 and Valkey). Events that its inbox has are skipped when
/// they come again. The old position is in each `Move`, so that the group can be moved back.
public struct Rewind: Sendable {
    /// One partition's move.
    public struct Move: Sendable, Codable {
        /// The partition, from 0.
        public let partition: Int
        /// The last entry that counts as delivered before the move.
        public let from: StreamID
        /// The last entry that counts as delivered after it.
        public let to: StreamID
        /// How many entries come again.
        public let readAgain: Int
        /// How many entries that were waiting are passed over.
        public let passedOver: Int
        /// How many entries were ever added up to the new position: with it the server's own lag stays right.
        public let entriesRead: Int
    }

    private let broker: Broker
    private let topic: Topic
    private let group: GroupName
    private let target: Target
    private let partitions: [Int]

    private enum Target {
        case point(ReplayPoint)
        /// The last entry that counts as delivered, by partition.
        case positions([Int: StreamID])
    }

    /// A move of this group to this place: the first one that it reads from then on. Throws `notFound`, with the names
    /// that there are, for a topic, group or partition that does not exist.
    ///
    /// - Parameter partition: the only one to move; nil for all.
    public init(
        topic name: TopicName, group: GroupName, to target: ReplayPoint, partition: Int? = nil,
        on broker: Broker
    ) async throws(FreshetError) {
        self.broker = broker
        self.group = group
        self.target = .point(target)
        topic = try await broker.existingTopic(name, readBy: group)
        if let partition {
            guard (0..<topic.partitions).contains(partition) else {
                throw FreshetError(
                    .notFound, "no partition \(partition) of '\(name)' (it has \(topic.partitions))")
            }
            partitions = [partition]
        } else {
            partitions = Array(0..<topic.partitions)
        }
    }

    /// A move of a group back to where it stood before an earlier one, whatever it has read since. Throws as `init(topic:group:to:)`
    /// does.
    public init(undoing record: RewindRecord, on broker: Broker) async throws(FreshetError) {
        self.broker = broker
        group = record.group
        topic = try await broker.existingTopic(record.topic, readBy: record.group)
        partitions = record.moves.map(\.partition)
        target = .positions(
            Dictionary(record.moves.map { ($0.partition, $0.from) }, uniquingKeysWith: { first, _ in first }))
    }

    /// What would be done; changes nothing. Throws `refused` while the group holds entries of the log, and `notFound`
    /// when it was declared and has vanished.
    public func plan() async throws(FreshetError) -> [Move] {
        let now = try await broker.serverTime()
        var held = 0
        var moves: [Move] = []
        for partition in partitions {
            let position = try await broker.position(of: group, topic: topic.name, partition: partition)
            guard let position else { continue }
            guard let delivered = position.delivered else {
                throw FreshetError(
                    .notFound,
                    "'\(group)' is gone from partition \(partition) of '\(topic.name)': its next worker makes it again"
                )
            }
            held += position.pending
            moves.append(try await move(partition, position, from: delivered, now: now))
        }
        guard held == 0 else { throw pending(held) }
        return moves
    }

    /// Makes these moves, and wakes readers that wait for new events (moving a position does not); returns how many readers
    /// were woken. Where the server forbids that, they notice when their read ends by itself, within 2 s.
    ///
    /// Each partition's move is one atomic step. It throws `refused` when the group holds an entry by now, or has moved
    /// since the plan; moves that were called back stay.
    ///
    /// - Parameter onMove: called after each move.
    @discardableResult
    public func run(
        _ moves: [Move], onMove: (Move) async throws(FreshetError) -> Void = { _ in }
    ) async throws(FreshetError) -> Int {
        for move in moves {
            try await broker.lowerStart(
                of: group, topic: topic.name, partition: move.partition, to: move.to)
            try await make(move)
            try await onMove(move)
        }
        return await broker.wakeReaders(of: group)
    }

    /// Makes those of these moves again that the server has lost: groups that stand where they stood before.
    func runAgain(_ moves: [Move]) async throws(FreshetError) -> Int {
        var lost: [Move] = []
        for move in moves where move.from != move.to {
            let position = try await broker.position(of: group, topic: topic.name, partition: move.partition)
            if position?.delivered == move.from { lost.append(move) }
        }
        return lost.isEmpty ? 0 : try await run(lost)
    }

    /// A position behind the newest entry would hide the next ones, so the end is as far as a group can go.
    private func move(_ partition: Int, _ position: LogPosition, from: StreamID, now: Timestamp)
        async throws(FreshetError) -> Move
    {
        let wanted: StreamID =
            switch target {
            case .point(.end): position.newest
            case .point(let point): point.lowerBound(now: now).predecessor ?? .zero
            case .positions(let positions): positions[partition] ?? from
            }
        let to = min(wanted, position.newest)
        let log = broker.keys(topic.name, partition).events
        let behind = try await broker.count(log, after: to, through: position.newest)
        return Move(
            partition: partition, from: from, to: to,
            readAgain: try await broker.count(log, after: to, through: from),
            passedOver: try await broker.count(log, after: from, through: to),
            entriesRead: max(0, position.added - behind))
    }

    private func make(_ move: Move) async throws(FreshetError) {
        let log = broker.keys(topic.name, move.partition).events
        let reply: RedisReply
        do {
            reply = try await Self.moving.run(
                on: broker.client, keys: [log],
                arguments: [
                    group.rawValue, move.from.description, move.to.description, move.entriesRead,
                ])
        } catch { throw FreshetError(error) }
        switch reply.integer {
        case 0: return
        case let held? where held > 0: throw pending(held)
        default:
            throw FreshetError(
                .refused,
                "'\(group)' has read on or was moved in the meantime: stop its workers and run this again")
        }
    }

    private func pending(_ count: Int) -> FreshetError {
        FreshetError(
            .refused,
            "'\(group)' holds \(count) events of '\(topic.name)': stop its workers, or let them finish, first"
        )
    }

    /// KEYS log; ARGV group from to entriesread. Returns 0 when it moved, how many entries the group holds when it holds
    /// some, and -1 when it does not stand at `from`.
    private static let moving = RedisScript(
        """
        if redis.call('EXISTS', KEYS[1]) == 0 then return -1 end
        for _, group in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
          local fields = {}
          for i = 1, #group, 2 do fields[group[i]] = group[i + 1] end
          if fields.name == ARGV[1] then
            if fields.pending > 0 then return fields.pending end
            if fields['last-delivered-id'] ~= ARGV[2] then return -1 end
            redis.call('XGROUP', 'SETID', KEYS[1], ARGV[1], ARGV[3], 'ENTRIESREAD', ARGV[4])
            return 0
          end
        end
        return -1
        """)
}
