public import Freshet
public import Hiredis

/// Brings a topic back from an archive into a Redis that does not have it: its entries with their ids, its declaration, its
/// groups where they stood, and what they had set aside.
///
/// Entries that retention had cut off come back as well. A group stands before the oldest entry that it had not settled, so
/// that it sees some again which it had: its inbox skips them.
public struct Restoration: Sendable {
    /// What is restored of one partition.
    public struct Partition: Sendable, Codable {
        /// The partition, from 0.
        public let partition: Int
        /// How many entries the archive has.
        public let events: Int
        /// How many entries the archive says are missing.
        public let missing: Int
        /// The oldest entry.
        public let first: StreamID?
        /// The newest entry.
        public let last: StreamID?
        /// The groups, and the last entry that counts as delivered to each.
        public let groups: [String: StreamID]
        /// How many dead letters and invalid entries there are.
        public let setAside: Int
    }

    /// The topic.
    public let topic: TopicName
    /// When the archive last looked at the topic, by the server's clock.
    public let savedAt: String
    /// Its partitions.
    public let partitions: [Partition]
    /// Whether a restoration that was killed goes on.
    public let isResumed: Bool
    let archive: Archive
    let broker: Broker
    let state: ArchivedTopic
    let manifests: [ArchivePartition]

    /// Looks at the archive's manifests and at the server, and changes nothing.
    ///
    /// Throws an `ArchiveError`: `notFound` for a topic that the archive does not have, `altered` for manifests that cannot be,
    /// `refused` when the topic is there.
    public init(of topic: TopicName, from archive: Archive, on broker: Broker) async throws {
        self.topic = topic
        self.archive = archive
        self.broker = broker
        state = try archive.topic(broker.namespace, topic)
        savedAt = state.savedAt
        var manifests: [ArchivePartition] = []
        var partitions: [Partition] = []
        for (number, known) in state.partitions.enumerated() {
            let manifest =
                try archive.partition(broker.namespace, topic, number)
                ?? ArchivePartition(broker.namespace, topic, number)
            guard manifest.count >= known.archived, manifest.last ?? .zero >= known.last ?? .zero else {
                throw ArchiveError(
                    .altered,
                    "\(archive.path(broker.namespace, topic, number)): segments at the end were taken out of the manifest"
                )
            }
            manifests.append(manifest)
            partitions.append(
                Partition(
                    partition: number, events: manifest.count, missing: known.missing(beside: manifest),
                    first: manifest.first,
                    last: manifest.last,
                    groups: Dictionary(
                        known.groups.map { ($0.name.rawValue, $0.position) },
                        uniquingKeysWith: { first, _ in first }),
                    setAside: known.setAside.reduce(0) { $0 + $1.contents.count }))
        }
        self.manifests = manifests
        self.partitions = partitions
        isResumed =
            try await broker.client.send(
                RedisCommand("HEXISTS", broker.namespace.topicKey(topic), Self.marker)
            ).integer == 1
        if !isResumed { try await refuseTopicThatIsThere() }
    }

    /// Restores. Killed on its way it goes on from there when it is run again: what is there must then be what the archive
    /// begins with, which is looked at byte for byte.
    ///
    /// Each segment is looked at as a whole before the first of its entries is added; an altered one is thrown by name, all of
    /// them before anything is changed at all.
    ///
    /// A server that loses its last seconds meanwhile (it has another history then) is restored from what it
    /// still has on.
    ///
    /// - Parameter onProgress: called with how many entries are there; false ends the run there.
    /// - Returns: how many entries are there, and whether that is all.
    public func run(onProgress: (Int) -> Bool = { _ in true }) async throws -> (events: Int, isWhole: Bool) {
        try await lookAtSegments()
        var (restoration, failure, count) = (self, PassingFailure(at: 0), 0)
        while true {
            do {
                let histories = try await broker.histories(of: topic, partitions: partitions.count)
                let result = try await restoration.restore {
                    count = $0
                    return onProgress($0)
                }
                let after = try await broker.histories(of: topic, partitions: partitions.count)
                if !result.isWhole || histories == after { return result }
            } catch { try await failure.wait(error, at: count) }
            do {
                // It may have been lost as well, and what is there is this restoration's.
                _ = try await broker.client.send(
                    RedisCommand("HSET", broker.namespace.topicKey(topic), Self.marker, savedAt))
                restoration = try await Restoration(of: topic, from: archive, on: broker)
            } catch { try await failure.wait(error, at: count) }
        }
    }

    private func restore(onProgress: (Int) -> Bool) async throws -> (events: Int, isWhole: Bool) {
        let key = broker.namespace.topicKey(topic)
        _ = try await broker.client.send(RedisCommand("HSET", key, Self.marker, savedAt))
        var count = 0
        for number in partitions.indices {
            let before = count
            let restored = try await restoreLog(number) { onProgress(before + $0) }
            count += restored.count
            guard restored.isWhole else { return (count, false) }
            try await restoreGroups(number, restored)
            try await restoreSetAside(number)
            try await restoreScheduled(number)
        }
        var pipeline = RedisPipeline()
        var fields: [any RedisArgument] = ["HSET", key, "partitions", partitions.count]
        for (name, value) in state.declaration.sorted(by: { $0.key < $1.key }) where name != "partitions" {
            fields += [name, value]
        }
        pipeline.append(arguments: fields)
        pipeline.append("HDEL", key, Self.marker)
        for reply in try await broker.client.send(pipeline) { try reply.get() }
        for (number, manifest) in manifests.enumerated() {
            guard let last = manifest.last else { continue }
            try await broker.mark(
                topic, number, archivedThrough: last, by: state.archive, takesOver: true)
        }
        return (count, true)
    }

    /// A topic's hash has it while a restoration is under way.
    static let marker = "restoring"

    private func lookAtSegments() async throws {
        for (number, manifest) in manifests.enumerated() {
            let folder = archive.path(broker.namespace, topic, number)
            for segment in manifest.segments { _ = try SegmentReader(segment.contents, in: folder) }
            for file in state.partitions[number].files { _ = try SegmentReader(file, in: folder) }
        }
    }

    private func refuseTopicThatIsThere() async throws {
        for (number, known) in state.partitions.enumerated() {
            let keys = broker.keys(topic, number)
            var streams = [keys.events]
            for group in known.groups.map(\.name) {
                streams += SetAside.allCases.map { keys.setAside($0, group) } + [keys.redelivery(group)]
            }
            for stream in streams {
                guard let info = try await broker.streamInfo(stream) else { continue }
                if info.length > 0 {
                    throw ArchiveError(
                        .refused,
                        "\(stream) has \(info.length) entries: a topic that is there is not restored")
                }
                if stream == keys.events, let first = manifests[number].first, info.lastGeneratedID >= first {
                    throw ArchiveError(
                        .refused,
                        "\(stream) is empty, but has given out ids up to \(info.lastGeneratedID), and the archive begins with "
                            + "\(first): delete it first")
                }
            }
        }
    }
}
