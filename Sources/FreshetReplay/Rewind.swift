public import Freshet

/// Moves a group's own position in a topic: it reads again, or passes over, what lies between.
///
/// The group must hold nothing: entries that are pending would be delivered twice at the same time, with their delivery
/// counts set back (measured on Redis 7.0 to 8.6 and Valkey). Events that its inbox has are skipped when they come again.
public struct Rewind: Sendable {
    /// One partition's move.
    public struct Move: Sendable, Codable {
        /// The partition, from 0.
        public let partition: Int
        /// The last entry that was delivered before the move.
        public let from: String
        /// The last entry that counts as delivered after it.
        public let to: String
        /// How many entries come again.
        public let readAgain: Int
        /// How many entries that were waiting are passed over.
        public let passedOver: Int
    }

    private let broker: Broker
    private let topic: Topic
    private let group: GroupName
    private let target: ReplayPoint

    /// A move of this group to this place. Throws `notFound` for a topic or group that does not exist.
    public init(
        topic: TopicName, group: GroupName, to target: ReplayPoint, on broker: Broker
    ) async throws(FreshetError) {
        self.broker = broker
        self.group = group
        self.target = target
        self.topic = try await broker.existing(topic, group)
    }

    /// What would be done. Throws `refused` while the group holds entries.
    public func plan() async throws(FreshetError) -> [Move] {
        var moves: [Move] = []
        for partition in 0..<topic.partitions {
            let position = try await broker.position(of: group, topic: topic.name, partition: partition)
            guard position.pending == 0 else {
                throw FreshetError(
                    .refused,
                    "'\(group)' holds \(position.pending) events of '\(topic.name)': stop its workers, or let them finish, first"
                )
            }
            let to: StreamID =
                switch target {
                case .end: position.newest
                default: target.asLowerBound.predecessor ?? .zero
                }
            let (again, over) = try await broker.distance(
                topic: topic.name, partition: partition, from: position.lastDelivered, to: to)
            moves.append(
                Move(
                    partition: partition, from: position.lastDelivered.description, to: to.description,
                    readAgain: again, passedOver: over))
        }
        return moves
    }

    /// Makes these moves, and wakes readers that wait for new events (moving a position does not).
    public func run(_ moves: [Move]) async throws(FreshetError) {
        for move in moves {
            guard let to = StreamID(move.to) else { continue }
            try await broker.setPosition(of: group, topic: topic.name, partition: move.partition, to: to)
        }
        await broker.wakeReaders(of: group)
    }
}
