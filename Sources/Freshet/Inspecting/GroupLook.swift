internal import Hiredis

/// How a group stands on a topic at one moment, with all that two looks are compared by.
public struct GroupLook: Sendable {
    /// How it stands.
    public let report: GroupReport
    /// Its processes.
    public let consumers: [ConsumerReport]
    /// In which order it handles events; nil when nobody has said.
    public let ordering: Ordering?
    /// Who owns each partition, with `.perKey`; nil where nobody does.
    public let owners: [String?]
    /// When the server was asked, by its clock, in seconds since 1970.
    public let time: Double
    /// The topic.
    public let topic: Topic
    package let snapshots: [PartitionSnapshot]

    /// What waits by the server's own count, and what is to be seen again as far as it was counted; nil when the server does not know.
    var serverLag: Int? {
        var sum = 0
        for snapshot in snapshots {
            guard let lag = snapshot.log.marks.lag else { return nil }
            sum += lag + snapshot.redelivery.waiting.count
        }
        return sum
    }
}

extension Broker {
    /// Looks at groups, their consumers and the owners of their partitions: all groups, or those of one topic, or those of one name.
    ///
    /// - Parameters:
    ///   - most: as in `groupReports`.
    ///   - lease: after how long without a sign of life the group's consumers are taken for dead by each other
    ///     (`SubscriptionOptions.lease`).
    public func groupLooks(
        topic name: TopicName? = nil, group: GroupName? = nil, countingUpTo most: Int = 1_000_000,
        lease: Duration = .seconds(10)
    ) async throws(FreshetError) -> [GroupLook] {
        let reports = try await reports(topic: name, group: group, countingUpTo: most)
        let connections = try await readerNames(of: reports.map(\.topic))
        var looks: [GroupLook] = []
        for (topic, report, snapshots) in reports {
            let ordering = try await send(
                RedisCommand("HGET", namespace.topicKey(topic.name), "order:\(report.group)")
            ).string.flatMap(Ordering.init)
            var owners: [String?] = []
            if ordering != .any {
                for partition in 0..<topic.partitions {
                    let lease = keys(topic.name, partition).lease(report.group)
                    let owner = try await send(RedisCommand("HGET", lease, "owner")).string ?? ""
                    owners.append(owner.isEmpty ? nil : owner)
                }
            }
            let time = snapshots.map(\.time).max() ?? 0
            let consumers = try await consumers(
                of: report, snapshots, owners: owners, members: members(of: report, at: time),
                connections: connections, lease: lease)
            looks.append(
                GroupLook(
                    report: report, consumers: consumers, ordering: ordering, owners: owners, time: time,
                    topic: topic, snapshots: snapshots))
        }
        return looks
    }

    /// How fast events came to a group and were settled between two looks; nil when that cannot be told: the group or its topic is
    /// another one by now, was moved back, or the server counts nothing (before Redis 7).
    public func pace(from first: GroupLook, to second: GroupLook) async throws(FreshetError) -> GroupPace? {
        let seconds = second.time - first.time
        guard seconds > 0, first.snapshots.count == second.snapshots.count else { return nil }
        var partitions: [GroupPace.Flow] = []
        for (partition, pair) in zip(first.snapshots, second.snapshots).enumerated() {
            let (before, after) = (pair.0, pair.1)
            guard let logBefore = before.log.marks.added, let logAfter = after.log.marks.added,
                let againBefore = before.redelivery.marks.added,
                let againAfter = after.redelivery.marks.added
            else { return nil }
            let (added, again) = (logAfter - logBefore, againAfter - againBefore)
            // What is settled is deleted there.
            var settled = again - (after.redelivery.length - before.redelivery.length)
            if second.topic.kind == .queue {
                settled += added - (after.log.length - before.log.length)
            } else {
                guard
                    let delivered = try await delivered(
                        from: before.log.marks, to: after.log.marks,
                        in: keys(second.topic.name, partition).events)
                else { return nil }
                settled += delivered - (after.log.pending - before.log.pending)
            }
            guard added >= 0, again >= 0 else { return nil }
            partitions.append(GroupPace.Flow(added: added + again, settled: max(0, settled)))
        }
        return GroupPace(seconds: seconds, partitions: partitions)
    }

    /// How many more entries of a log wait for a group than did; negative when it catches up, nil when that cannot be told (as for `pace`).
    package func growth(from before: StreamMarks, to after: StreamMarks, in log: String)
        async throws(FreshetError) -> Int?
    {
        guard let first = before.added, let last = after.added,
            let delivered = try await delivered(from: before, to: after, in: log)
        else { return nil }
        return last - first - delivered
    }

    /// The server's own count where it has one. It has none after a rewind or a deletion: then what lies between is counted, which
    /// costs as much as was delivered meanwhile.
    private func delivered(from before: StreamMarks, to after: StreamMarks, in log: String)
        async throws(FreshetError) -> Int?
    {
        guard before.delivered <= after.delivered else { return nil }
        if before.isLagKnown, after.isLagKnown, let from = before.read, let to = after.read, to >= from {
            return to - from
        }
        return try await count(log, after: before.delivered, through: after.delivered)
    }

    /// The consumers that have said lately that they live, with an order.
    private func members(of report: GroupReport, at time: Double) async throws(FreshetError) -> Set<String> {
        let reply = try await send(
            RedisCommand("HGETALL", namespace.membersKey(report.topic, report.group)))
        let texts = reply.array?.map { $0.string ?? "" } ?? []
        var names: Set<String> = []
        for index in stride(from: 0, to: texts.count - 1, by: 2) {
            let due = texts[index + 1].prefix { $0 != " " }
            if let due = Double(due), due / 1000 > time { names.insert(texts[index]) }
        }
        return names
    }

    /// The names of the connections that read; nil where the server does not show them.
    func readerNames(of topics: [Topic]) async throws(FreshetError) -> Set<String>? {
        var pipelines: [RedisPipeline] = []
        if case .cluster = client.configuration.servers {
            // A command without a key goes with the one before it.
            for topic in topics {
                for partition in 0..<topic.partitions {
                    var pipeline = RedisPipeline()
                    pipeline.append("EXISTS", keys(topic.name, partition).events)
                    pipeline.append("CLIENT", "LIST")
                    pipelines.append(pipeline)
                }
            }
        } else {
            var pipeline = RedisPipeline()
            pipeline.append("CLIENT", "LIST")
            pipelines = [pipeline]
        }
        var names: Set<String> = []
        for pipeline in pipelines {
            let replies = try await send(pipeline)
            guard let list = replies[replies.count - 1].string else { return nil }
            for line in list.split(separator: "\n") {
                for field in line.split(separator: " ") where field.hasPrefix("name=\(namespace):") {
                    names.insert(String(field.dropFirst(5)))
                }
            }
        }
        return names
    }
}
