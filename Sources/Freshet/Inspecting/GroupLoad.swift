internal import Hiredis

/// What a group has to do on a topic, over all partitions: what can be asked every few seconds, whatever waits. `GroupReport`
/// counts exactly, at a cost that grows with what waits.
package struct GroupLoad: Sendable {
    /// Entries in the logs.
    package private(set) var entries = 0
    /// Entries of the logs that were never delivered to the group.
    package private(set) var lag = 0
    /// False when the server did not know it for each partition: then `lag` was counted there, up to a thousand.
    package private(set) var isLagKnown = true
    /// Entries that a consumer has taken and not settled.
    package private(set) var pending = 0
    /// Retries and replayed entries that are due and that no consumer has taken.
    package private(set) var redelivery = 0
    /// Retries that wait for their time, or to be noticed.
    package private(set) var delayed = 0
    /// Of these, those whose time has come.
    package private(set) var due = 0
    /// Dead letters.
    package private(set) var dead = 0
    /// Entries that could not be decoded.
    package private(set) var invalid = 0
    /// Since when the oldest entry waits that no consumer has taken; 0 when there is none.
    package private(set) var oldestWaitingSeconds = 0.0
    /// How old the oldest entry is that is taken and not settled; 0 when there is none.
    package private(set) var oldestPendingSeconds = 0.0
    /// Since when the oldest dead letter is dead; 0 when there is none.
    package private(set) var oldestDeadSeconds = 0.0
    /// The most processes that any partition knows of the group, or with an order those that live.
    package private(set) var consumers = 0
    /// Processes that own a partition.
    package var leaseOwners: Int { owners.count }
    /// Partitions of the topic.
    package let partitions: Int
    private var owners: Set<String> = []

    /// All that is to be done now.
    package var backlog: Int { lag + pending + due + redelivery }

    init(partitions: Int, members: Int) {
        self.partitions = partitions
        consumers = members
    }

    mutating func add(_ reply: RedisReply) throws(FreshetError) {
        guard let parts = reply.array.map(Array.init), parts.count == 17 else {
            throw FreshetError(RedisError(.unexpectedReply, "a group's load of another shape"))
        }
        let numbers = parts.prefix(11).compactMap(\.integer)
        guard numbers.count == 11 else {
            throw FreshetError(RedisError(.unexpectedReply, "a group's load without numbers"))
        }
        entries += numbers[1]
        lag += numbers[2]
        isLagKnown = isLagKnown && numbers[3] == 1
        pending += numbers[4]
        redelivery += numbers[5]
        delayed += numbers[6]
        due += numbers[7]
        dead += numbers[8]
        invalid += numbers[9]
        consumers = max(consumers, numbers[10])
        if let owner = parts[11].string, !owner.isEmpty { owners.insert(owner) }
        func age(_ index: Int) -> Double {
            guard let id = parts[index].streamID else { return 0 }
            return max(0, Double(numbers[0]) - Double(id.milliseconds)) / 1000
        }
        oldestWaitingSeconds = max(oldestWaitingSeconds, age(12), age(13))
        oldestPendingSeconds = max(oldestPendingSeconds, age(14), age(15))
        oldestDeadSeconds = max(oldestDeadSeconds, age(16))
    }
}

extension Broker {
    /// What the group has to do now: two commands, and a script for each partition.
    package func load(of group: GroupName, on topic: Topic) async throws(FreshetError) -> GroupLoad {
        let topicKey = namespace.topicKey(topic.name)
        var pipeline = RedisPipeline()
        pipeline.append(
            RedisCommand<RedisReply>(
                arguments: ["HMGET", topicKey] + (0..<topic.partitions).map { "start:\(group):\($0)" }))
        pipeline.append("HLEN", namespace.membersKey(topic.name, group))
        let replies = try await send(pipeline)
        let starts = replies[0].array.map(Array.init) ?? []
        var load = GroupLoad(partitions: topic.partitions, members: replies[1].integer ?? 0)
        for partition in 0..<topic.partitions {
            let keys = keys(topic.name, partition)
            let start = partition < starts.count ? starts[partition].string : nil
            try await load.add(
                run(
                    InspectionScripts.load,
                    keys: [
                        keys.events, keys.redelivery(group), keys.delayed(group), keys.dead(group),
                        keys.invalid(group), keys.lease(group),
                    ], group.rawValue, start ?? "0-0"))
        }
        return load
    }
}
