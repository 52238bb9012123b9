internal import Hiredis

/// How a group stands on a topic, over all partitions.
public struct GroupReport: Sendable, Codable {
    /// One process of the group.
    public struct Consumer: Sendable, Codable {
        /// Its name.
        public let name: String
        /// How many entries it holds.
        public let pending: Int
        /// Seconds since the server last heard a read or claim of it, on whichever stream it heard it last.
        public let idleSeconds: Double
    }

    /// One partition of the topic.
    public struct Partition: Sendable, Codable {
        /// Its number, from 0.
        public let partition: Int
        /// As of the whole topic.
        public internal(set) var length = 0
        /// As of the whole topic.
        public internal(set) var waiting = 0
        /// As of the whole topic.
        public internal(set) var pending = 0
        /// As of the whole topic.
        public internal(set) var delayed = 0
        /// As of the whole topic.
        public internal(set) var dead = 0
        /// As of the whole topic.
        public internal(set) var invalid = 0
        /// As of the whole topic.
        public internal(set) var lagKnown = true
        /// As of the whole topic.
        public internal(set) var oldestWaitingSeconds: Double?

        init(_ snapshot: PartitionSnapshot, partition: Int) {
            self.partition = partition
            length = snapshot.log.length
            (delayed, dead, invalid) = (snapshot.delayed, snapshot.dead, snapshot.invalid)
            for stream in [snapshot.log, snapshot.redelivery] {
                waiting += stream.waiting.count
                lagKnown = lagKnown && stream.waiting.isWhole
                pending += stream.pending
                for id in [stream.waiting.first, stream.oldestPending] {
                    guard let id else { continue }
                    let age = max(0, snapshot.time - Double(id.milliseconds) / 1000)
                    oldestWaitingSeconds = max(oldestWaitingSeconds ?? 0, age)
                }
            }
        }
    }

    /// The topic.
    public let topic: TopicName
    /// The group.
    public let group: GroupName
    /// Entries in the logs.
    public internal(set) var length = 0
    /// Entries that no consumer has taken yet: in the logs, and to be seen again.
    public internal(set) var waiting = 0
    /// Entries that a consumer has taken and not settled: of the logs, and of those to be seen again.
    public internal(set) var pending = 0
    /// Retries that wait for their time.
    public internal(set) var delayed = 0
    /// Dead letters.
    public internal(set) var dead = 0
    /// Entries that could not be decoded.
    public internal(set) var invalid = 0
    /// False when more entries wait than were counted: `waiting` is then a lower bound.
    public internal(set) var lagKnown = true
    /// Seconds since the oldest entry that is waiting or pending was added to its stream, by the server's clock; nil
    /// when there is none.
    public internal(set) var oldestWaitingSeconds: Double?
    /// The same of each partition.
    public internal(set) var partitions: [Partition] = []
    /// The processes of the group, by name.
    public internal(set) var consumers: [Consumer] = []

    /// Whether nothing is left to do.
    public var isSettled: Bool { lagKnown && waiting == 0 && pending == 0 && delayed == 0 }

    init(topic: TopicName, group: GroupName) {
        self.topic = topic
        self.group = group
    }

    mutating func add(_ snapshot: PartitionSnapshot) {
        let partition = Partition(snapshot, partition: partitions.count)
        partitions.append(partition)
        length += partition.length
        waiting += partition.waiting
        pending += partition.pending
        delayed += partition.delayed
        dead += partition.dead
        invalid += partition.invalid
        lagKnown = lagKnown && partition.lagKnown
        if let age = partition.oldestWaitingSeconds {
            oldestWaitingSeconds = max(oldestWaitingSeconds ?? 0, age)
        }
        for stream in [snapshot.log, snapshot.redelivery] {
            for consumer in stream.consumers { add(consumer) }
        }
    }

    private mutating func add(_ consumer: Consumer) {
        guard let index = consumers.firstIndex(where: { $0.name == consumer.name }) else {
            consumers.append(consumer)
            consumers.sort { $0.name < $1.name }
            return
        }
        let known = consumers[index]
        consumers[index] = Consumer(
            name: known.name, pending: known.pending + consumer.pending,
            idleSeconds: min(known.idleSeconds, consumer.idleSeconds))
    }
}

extension Broker {
    /// How groups stand: all of them, or those of one topic, or those of one name.
    ///
    /// Each partition is looked at in one atomic step: an entry on its way from one state to the next is counted in one
    /// of them, once. `waiting` is counted and not taken from the server's own lag, which is absent or wrong after a
    /// start in the middle of a stream, a deletion or a trim. A group that was declared and has vanished is listed
    /// too, with everything after its start waiting.
    ///
    /// - Parameter most: how many waiting entries of a stream are counted one by one, in whole pages; when there are more,
    ///   `lagKnown` is false and `waiting` a lower bound.
    public func groupReports(
        topic name: TopicName? = nil, group: GroupName? = nil, countingUpTo most: Int = 1_000_000
    ) async throws(FreshetError) -> [GroupReport] {
        try await reports(topic: name, group: group, countingUpTo: most).map(\.report)
    }

    /// The same, with the topic and what each partition's snapshot has.
    func reports(topic name: TopicName?, group: GroupName?, countingUpTo most: Int)
        async throws(FreshetError) -> [(topic: Topic, report: GroupReport, snapshots: [PartitionSnapshot])]
    {
        let topics: [Topic]
        if let name {
            topics = try await topic(named: name).map { [$0] } ?? []
        } else {
            topics = try await self.topics()
        }
        var reports: [(topic: Topic, report: GroupReport, snapshots: [PartitionSnapshot])] = []
        for topic in topics {
            for name in try await groups(of: topic) where group == nil || name == group {
                var report = GroupReport(topic: topic.name, group: name)
                var snapshots: [PartitionSnapshot] = []
                for partition in 0..<topic.partitions {
                    let snapshot = try await snapshot(
                        of: name, keys(topic.name, partition), countingUpTo: most)
                    report.add(snapshot)
                    snapshots.append(snapshot)
                }
                reports.append((topic, report, snapshots))
            }
        }
        return reports
    }
}
