internal import Freshet
internal import Hiredis

extension Diagnosis {
    /// Those topics whose keys are of the types that Freshet makes; of the others nothing else can be looked at.
    func soundTopics(_ topics: [Topic], into findings: inout [Finding]) async throws -> [Topic] {
        var sound: [Topic] = []
        for topic in topics {
            let wrong = try await looking("key-types", at: topic.name.rawValue, into: &findings) {
                try await wrongKeys(of: topic)
            }
            findings += wrong ?? []
            if let wrong, wrong.isEmpty { sound.append(topic) }
        }
        return sound
    }

    private func wrongKeys(of topic: Topic) async throws -> [Finding] {
        // The hash and the logs first: what the groups are called stands in them.
        var expected = [(key: broker.namespace.topicKey(topic.name), type: "hash")]
        for partition in 0..<topic.partitions {
            let keys = broker.keys(topic.name, partition)
            expected += [(keys.events, "stream"), (keys.scheduled, "zset")]
        }
        let wrong = try await wrong(expected, topic)
        guard wrong.isEmpty else { return wrong }
        expected = []
        for group in try await broker.groups(of: topic) {
            for partition in 0..<topic.partitions {
                let keys = broker.keys(topic.name, partition)
                expected += [
                    (keys.redelivery(group), "stream"), (keys.delayed(group), "zset"),
                    (keys.dead(group), "stream"),
                    (keys.invalid(group), "stream"), (keys.lease(group), "hash"),
                ]
            }
            expected.append((broker.namespace.membersKey(topic.name, group), "hash"))
        }
        return try await self.wrong(expected, topic)
    }

    private func wrong(_ expected: [(key: String, type: String)], _ topic: Topic) async throws -> [Finding] {
        guard !expected.isEmpty else { return [] }
        var pipeline = RedisPipeline()
        for (key, _) in expected { pipeline.append("TYPE", key) }
        let replies: RedisReplies
        do { replies = try await broker.client.send(pipeline) } catch { throw FreshetError(error) }
        var findings: [Finding] = []
        for ((key, type), reply) in zip(expected, replies) {
            let found: String?
            do { found = try reply.get().string } catch { throw FreshetError(error) }
            guard let found, found != "none", found != type else { continue }
            findings.append(
                Finding(
                    .critical, "key-types", topic.name.rawValue,
                    "\(key) is a \(found) and not a \(type): what needs it fails, and goes on failing",
                    remedy:
                        "find out who writes it, then move it away: redis-cli RENAME \(key) \(key):foreign"))
        }
        return findings
    }

    /// What is declared of a topic, held against what is there.
    func topic(_ declaration: TopicDeclaration) async throws -> [Finding] {
        let (topic, name) = (declaration.topic, declaration.topic.name)
        var findings: [Finding] = []
        for partition in 0..<topic.partitions {
            let keys = broker.keys(name, partition)
            let subject = topic.partitions == 1 ? name.rawValue : "\(name) partition \(partition)"
            let looked = try await looking("topic", at: subject, into: &findings) {
                let length = try await broker.send(RedisCommand("XLEN", keys.events)).integer ?? 0
                let due = try await firstDue(keys.scheduled)
                return (length: length, due: due, now: try await broker.serverTime().milliseconds)
            }
            guard let looked else { continue }
            if let limit = declaration.limit, looked.length * 10 >= limit * 9 {
                findings.append(
                    Finding(
                        looked.length >= limit ? .critical : .warning, "topic-full", subject,
                        "\(Spelled.count(looked.length)) of at most \(Spelled.count(limit)) entries: "
                            + (looked.length >= limit
                                ? "publishing is refused" : "at the limit publishing is refused"),
                        remedy:
                            "freshet groups --topic \(name) says who is behind; freshet topics trim \(name); or a higher limit"
                    ))
            }
            if let due = looked.due, looked.now - due > overdue {
                findings.append(
                    Finding(
                        .warning, "scheduled-overdue", subject,
                        "events were to be published \(Spelled.time(Double(looked.now - due) / 1000)) ago: consumers do that, and none does",
                        remedy: "start a worker that reads '\(name)' (freshet consumers --topic \(name))"))
            }
        }
        return findings
    }

    /// When the first member of a set is due, in milliseconds; nil when there is none.
    func firstDue(_ key: String) async throws(FreshetError) -> Int64? {
        let reply =
            try await broker.send(RedisCommand("ZRANGE", key, 0, 0, "WITHSCORES")).array.map(Array.init) ?? []
        return reply.count == 2 ? reply[1].string.flatMap { Double($0) }.map { Int64($0) } : nil
    }

    /// By how many milliseconds something may be late: a consumer looks each second, after a crash within a few leases.
    var overdue: Int64 { Int64(max(5_000, lease.inMilliseconds * 3)) }
}
