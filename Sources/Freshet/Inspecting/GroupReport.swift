internal import Hiredis

/// How a group stands on a topic, over all partitions.
public struct GroupReport: Sendable, Codable {
    /// One process of the group.
    public struct Consumer: Sendable, Codable {
        /// Its name.
        public let name: String
        /// How many entries it holds.
        public let pending: Int
        /// Seconds since the server last heard a read or claim of it.
        public let idleSeconds: Double
    }

    /// The topic.
    public let topic: TopicName
    /// The group.
    public let group: GroupName
    /// Entries in the logs.
    public internal(set) var length = 0
    /// Entries that no consumer has taken yet: in the logs, and to be seen again.
    public internal(set) var waiting = 0
    /// Entries that a consumer has taken and not settled.
    public internal(set) var pending = 0
    /// Retries that wait for their time.
    public internal(set) var delayed = 0
    /// Dead letters.
    public internal(set) var dead = 0
    /// Entries that could not be decoded.
    public internal(set) var invalid = 0
    /// False when more entries wait than were counted: `waiting` is then a lower bound.
    public internal(set) var lagKnown = true
    /// Seconds since the oldest entry that is waiting or pending was added, by the server's clock; nil when there is
    /// none.
    public internal(set) var oldestWaitingSeconds: Double?
    /// The processes of the group.
    public internal(set) var consumers: [Consumer] = []

    /// Whether nothing is left to do.
    public var isSettled: Bool { lagKnown && waiting == 0 && pending == 0 && delayed == 0 }
}

extension Broker {
    /// The topics of this namespace: those that a program has declared, and those that only have events.
    public func topics() async throws(FreshetError) -> [Topic] {
        var partitions: [TopicName: Int] = [:]
        for key in try await scan("\(namespace):events:{*}") {
            guard let tag = Self.tag(of: key), let colon = tag.lastIndex(of: ":"),
                let name = try? TopicName(checking: String(tag[..<colon])),
                let number = Int(tag[tag.index(after: colon)...])
            else { continue }
            partitions[name] = max(partitions[name] ?? 1, number + 1)
        }
        for key in try await scan("\(namespace):topic:{*}") {
            guard let tag = Self.tag(of: key), let name = try? TopicName(checking: String(tag)) else {
                continue
            }
            let declared = try await send(RedisCommand("HGET", key, "partitions")).integer ?? 1
            partitions[name] = max(partitions[name] ?? 1, declared)
        }
        return partitions.sorted { $0.key < $1.key }.map { Topic($0.key, partitions: $0.value) }
    }

    /// How groups stand: all of them, or those of one topic, or one of them.
    ///
    /// `waiting` is counted, not taken from the server's lag, which is absent or wrong after a start in the middle of
    /// a stream, a deletion or a trim.
    public func groupReports(topic: TopicName? = nil, group: GroupName? = nil) async throws(FreshetError)
        -> [GroupReport]
    {
        var reports: [GroupReport] = []
        for known in try await topics() where topic == nil || known.name == topic {
            for name in try await groups(of: known) where group == nil || name == group {
                reports.append(try await report(name, of: known))
            }
        }
        return reports
    }

    /// The groups of a topic: those that exist on a partition, and those that were declared.
    public func groups(of topic: Topic) async throws(FreshetError) -> [GroupName] {
        var names: Set<String> = []
        for partition in 0..<topic.partitions {
            names.formUnion(try await groupStates(of: keys(topic.name, partition).events).keys)
        }
        let fields = try await send(RedisCommand("HKEYS", namespace.topicKey(topic.name)))
        for field in fields.array?.compactMap(\.string) ?? [] where field.hasPrefix("start:") {
            if let end = field.lastIndex(of: ":") {
                names.insert(String(field[..<end].dropFirst("start:".count)))
            }
        }
        return names.compactMap { try? GroupName(checking: $0) }.sorted()
    }

    private func report(_ group: GroupName, of topic: Topic) async throws(FreshetError) -> GroupReport {
        var report = GroupReport(topic: topic.name, group: group)
        var oldest: UInt64?
        var consumers: [String: (pending: Int, idle: Double)] = [:]
        for partition in 0..<topic.partitions {
            let keys = keys(topic.name, partition)
            report.length += try await length(keys.events)
            report.dead += try await length(keys.dead(group))
            report.invalid += try await length(keys.invalid(group))
            report.delayed += try await send(RedisCommand("ZCARD", keys.delayed(group))).integer ?? 0
            let declared = try await send(
                RedisCommand("HGET", namespace.topicKey(topic.name), "start:\(group):\(partition)")
            ).string.flatMap { StreamID($0) }
            for (stream, start) in [(keys.events, declared ?? .zero), (keys.redelivery(group), .zero)] {
                let state = try await groupStates(of: stream)[group.rawValue]
                let last = state?.lastDelivered ?? start
                let (count, first, isWhole) = try await count(stream, after: last)
                report.waiting += count
                report.lagKnown = report.lagKnown && isWhole
                if let first { oldest = min(oldest ?? first.milliseconds, first.milliseconds) }
                guard let state, state.pending > 0 || state.consumers > 0 else { continue }
                report.pending += state.pending
                if let first = try await firstPending(stream, group) {
                    oldest = min(oldest ?? first.milliseconds, first.milliseconds)
                }
                for consumer in try await self.consumers(of: group, on: stream) {
                    let known = consumers[consumer.name] ?? (0, .infinity)
                    consumers[consumer.name] = (
                        known.pending + consumer.pending, min(known.idle, consumer.idleSeconds)
                    )
                }
            }
        }
        report.consumers = consumers.sorted { $0.key < $1.key }.map {
            GroupReport.Consumer(name: $0.key, pending: $0.value.pending, idleSeconds: $0.value.idle)
        }
        if let oldest {
            let time = try await send(RedisCommand("TIME")).array
            let now = Double(time?[0].integer ?? 0) + Double(time?[1].integer ?? 0) / 1e6
            report.oldestWaitingSeconds = max(0, now - Double(oldest) / 1000)
        }
        return report
    }
}
