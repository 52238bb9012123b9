package import Hiredis

/// Which topics and groups there are.
extension Broker {
    /// The topics of this namespace by name: those that a program has declared, and those that only have events, from
    /// whatever client. Goes through all keys of the server, a thousand at a time.
    public func topics() async throws(FreshetError) -> [Topic] {
        var partitions: [TopicName: Int] = [:]
        for key in try await scan("\(namespace):events:{*}") {
            guard let tag = Self.tag(of: key), let colon = tag.lastIndex(of: ":"),
                let name = try? TopicName(checking: String(tag[..<colon])),
                let number = Int(tag[tag.index(after: colon)...]), (0..<Self.mostPartitions).contains(number)
            else { continue }
            partitions[name] = max(partitions[name] ?? 1, number + 1)
        }
        for key in try await scan("\(namespace):topic:{*}") {
            guard let tag = Self.tag(of: key), let name = try? TopicName(checking: String(tag)) else {
                continue
            }
            partitions[name] = max(partitions[name] ?? 1, try await declaredPartitions(of: name) ?? 1)
        }
        var topics: [Topic] = []
        for (name, count) in partitions.sorted(by: { $0.key < $1.key }) {
            topics.append(Topic(name, partitions: count, kind: try await declaredKind(of: name)))
        }
        return topics
    }

    /// The topic of this name, or nil when there is neither a declaration nor an event. Goes through all keys only when
    /// nothing stands where it should.
    public func topic(named name: TopicName) async throws(FreshetError) -> Topic? {
        var partitions = try await declaredPartitions(of: name) ?? 0
        while partitions < Self.mostPartitions {
            let log = keys(name, partitions).events
            guard try await send(RedisCommand("EXISTS", log)).integer == 1 else { break }
            partitions += 1
        }
        if partitions > 0 {
            return Topic(name, partitions: partitions, kind: try await declaredKind(of: name))
        }
        return try await topics().first { $0.name == name }
    }

    /// The topic of this name. Throws `notFound`, with the names that there are, when there is none.
    public func existingTopic(_ name: TopicName) async throws(FreshetError) -> Topic {
        if let topic = try await topic(named: name) { return topic }
        let names = try await topics().map(\.name.rawValue)
        throw FreshetError(
            .notFound, "no topic '\(name)' in the namespace '\(namespace)' (there are: \(Self.list(names)))")
    }

    /// The topic of this name, which this group reads. Throws `notFound`, with the names that there are, when there is
    /// no such topic or group.
    public func existingTopic(_ name: TopicName, readBy group: GroupName) async throws(FreshetError) -> Topic
    {
        let topic = try await existingTopic(name)
        let groups = try await groups(of: topic)
        guard groups.contains(group) else {
            throw FreshetError(
                .notFound,
                "no group '\(group)' on '\(name)' (there are: \(Self.list(groups.map(\.rawValue))))")
        }
        return topic
    }

    /// The groups of a topic by name: those that exist on a partition's log, and those that were declared.
    public func groups(of topic: Topic) async throws(FreshetError) -> [GroupName] {
        var pipeline = RedisPipeline()
        pipeline.append("HKEYS", namespace.topicKey(topic.name))
        for partition in 0..<topic.partitions {
            pipeline.append("XINFO", "GROUPS", keys(topic.name, partition).events)
        }
        var names: Set<String> = []
        for (index, reply) in try await send(pipeline).enumerated() {
            if let error = reply.error, error.message.contains("no such key") { continue }
            let elements: RedisReplies?
            do { elements = try reply.get().array } catch { throw FreshetError(error) }
            for element in elements.map(Array.init) ?? [] {
                let name = index == 0 ? element.string : element.value(named: "name")?.string
                if let name = index == 0 ? name.flatMap(Self.declaredGroup) : name { names.insert(name) }
            }
        }
        // As the server has them: a group that another client made may have a name that Freshet would refuse.
        return names.map { GroupName(unchecked: $0) }.sorted()
    }

    /// The server's clock, by which entries get their ids.
    public func serverTime() async throws(FreshetError) -> Timestamp {
        guard let time = try await send(RedisCommand("TIME")).array, time.count == 2,
            let seconds = time[0].integer, let microseconds = time[1].integer
        else { throw FreshetError(RedisError(.unexpectedReply, "TIME gave no time")) }
        return Timestamp(milliseconds: Int64(seconds) * 1000 + Int64(microseconds) / 1000)
    }

    /// A key that says more is not one of ours.
    private static let mostPartitions = 16_384

    private func declaredPartitions(of name: TopicName) async throws(FreshetError) -> Int? {
        let declared = try await send(RedisCommand("HGET", namespace.topicKey(name), "partitions")).integer
        return declared.flatMap { (1...Self.mostPartitions).contains($0) ? $0 : nil }
    }

    /// A topic that nobody has declared is a log: nothing of it is deleted.
    private func declaredKind(of name: TopicName) async throws(FreshetError) -> TopicKind {
        let text = try await send(RedisCommand("HGET", namespace.topicKey(name), "kind")).string
        return text.flatMap(TopicKind.init) ?? .log
    }

    /// `payment` of `start:payment:0`.
    private static func declaredGroup(_ field: String) -> String? {
        guard field.hasPrefix("start:"), let end = field.lastIndex(of: ":"), end > field.startIndex else {
            return nil
        }
        let name = field[..<end].dropFirst("start:".count)
        return name.isEmpty ? nil : String(name)
    }

    private func scan(_ pattern: String) async throws(FreshetError) -> Set<String> {
        var (keys, cursor) = (Set<String>(), "0")
        repeat {
            let reply = try await send(RedisCommand("SCAN", cursor, "MATCH", pattern, "COUNT", 1000)).array
            guard let reply, reply.count == 2 else { break }
            cursor = reply[0].string ?? "0"
            keys.formUnion(reply[1].array?.compactMap(\.string) ?? [])
        } while cursor != "0"
        return keys
    }

    /// What stands in the braces of a key.
    private static func tag(of key: String) -> Substring? {
        guard let open = key.firstIndex(of: "{"), let close = key[open...].firstIndex(of: "}") else {
            return nil
        }
        return key[key.index(after: open)..<close]
    }

    private static func list(_ names: [String]) -> String {
        names.isEmpty ? "none" : names.joined(separator: ", ")
    }

    package func send(_ pipeline: RedisPipeline) async throws(FreshetError) -> RedisReplies {
        do { return try await client.send(pipeline) } catch { throw FreshetError(error) }
    }
}
