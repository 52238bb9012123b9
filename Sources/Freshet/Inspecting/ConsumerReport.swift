internal import Hiredis

/// A process of a group, as the server knows it.
public struct ConsumerReport: Sendable, Codable {
    /// Whether it lives.
    public enum State: String, Sendable, Codable {
        /// It owns a partition, has met the group, read, claimed or renewed within a lease, or waits in a read for what comes.
        case alive
        /// Nothing of that: others take over what it holds.
        case dead
        /// It holds nothing and was not heard of for a lease, and whether it still waits in a read the server does not show.
        case unknown
    }

    /// The topic.
    public let topic: TopicName
    /// The group.
    public let group: GroupName
    /// Its name.
    public let name: String
    /// Whether it lives.
    public let state: State
    /// How many entries it holds.
    public let pending: Int
    /// Seconds since the oldest entry that it holds was added to its stream; nil when it holds none.
    public let oldestPendingSeconds: Double?
    /// Seconds since the server last heard a read or claim of it.
    public let idleSeconds: Double
    /// The partitions that are its own, with `.perKey`.
    public let partitions: [Int]
}

extension Broker {
    func consumers(
        of report: GroupReport, _ snapshots: [PartitionSnapshot], owners: [String?], members: Set<String>,
        connections: Set<String>?, lease: Duration
    ) async throws(FreshetError) -> [ConsumerReport] {
        var known = report.consumers
        for name in Set(owners.compactMap { $0 }).union(members).sorted()
        where !known.contains(where: { $0.name == name }) {
            // Of one that has not read yet the streams know nothing.
            known.append(GroupReport.Consumer(name: name, pending: 0, idleSeconds: 0))
        }
        let oldest = try await oldestPending(of: report, snapshots)
        let limit = Double(lease.inMilliseconds) / 1000
        return known.sorted { $0.name < $1.name }.map { consumer in
            let partitions = owners.indices.filter { owners[$0] == consumer.name }
            let isConnected = connections.map {
                $0.contains(namespace.readerName(report.group, consumer.name, report.topic))
                    || $0.contains(namespace.formerReaderName(report.group, consumer.name))
            }
            let state: ConsumerReport.State =
                if !partitions.isEmpty || members.contains(consumer.name) || consumer.idleSeconds < limit {
                    .alive
                } else if consumer.pending > 0 {
                    // One that is frozen still has its connection, and renews nothing.
                    .dead
                } else {
                    switch isConnected {
                    case true?: .alive
                    case false?: .dead
                    case nil: .unknown
                    }
                }
            return ConsumerReport(
                topic: report.topic, group: report.group, name: consumer.name, state: state,
                pending: consumer.pending, oldestPendingSeconds: oldest[consumer.name],
                idleSeconds: consumer.idleSeconds, partitions: partitions)
        }
    }

    /// The age of the oldest entry that each consumer holds.
    private func oldestPending(of report: GroupReport, _ snapshots: [PartitionSnapshot])
        async throws(FreshetError) -> [String: Double]
    {
        var questions: [(name: String, time: Double)] = []
        var pipeline = RedisPipeline()
        for (partition, snapshot) in snapshots.enumerated() {
            let keys = keys(report.topic, partition)
            for (key, stream) in [
                (keys.events, snapshot.log), (keys.redelivery(report.group), snapshot.redelivery),
            ] {
                for consumer in stream.consumers where consumer.pending > 0 {
                    questions.append((consumer.name, snapshot.time))
                    pipeline.append("XPENDING", key, report.group.rawValue, "-", "+", 1, consumer.name)
                }
            }
        }
        guard !questions.isEmpty else { return [:] }
        var ages: [String: Double] = [:]
        for (question, reply) in zip(questions, try await send(pipeline)) {
            guard
                let id = reply.array?.first(where: { _ in true })?.array?.first(where: { _ in true })?
                    .streamID
            else { continue }
            let age = max(0, question.time - Double(id.milliseconds) / 1000)
            ages[question.name] = max(ages[question.name] ?? 0, age)
        }
        return ages
    }

    /// Removes the names of consumers that hold nothing; what holds an entry in the meantime stays. Returns which are gone from all
    /// streams.
    ///
    /// A consumer that lives after all is made again by its next read.
    public func removeConsumers(_ names: [String], of group: GroupName, topic: Topic)
        async throws(FreshetError) -> [String]
    {
        var removed: [String] = []
        for name in names {
            var held = 0
            for partition in 0..<topic.partitions {
                let keys = keys(topic.name, partition)
                for stream in [keys.events, keys.redelivery(group)] {
                    do {
                        held +=
                            try await run(
                                Scripts.leave, keys: [stream], group.rawValue, name
                            ).integer ?? 0
                    } catch  where error.cause?.serverCode == .noGroup {}
                }
            }
            if held == 0 { removed.append(name) }
        }
        return removed
    }
}
