internal import FoundationEssentials
internal import Freshet
internal import FreshetTesting
internal import Glibc
internal import Hiredis

/// Numbered events of a topic, and what can be asked about them.
struct NumberedTopic: Sendable {
    let client: RedisClient
    let broker: Broker
    let topic: Topic

    init(_ client: RedisClient, partitions: Int) {
        self.client = client
        broker = Broker(client, namespace: "soak")
        topic = Topic("numbered", partitions: partitions)
    }

    /// Publishes so many events, numbered within their keys, the keys in turn. Returns their ids.
    func publish(_ count: Int, keys: Int, from first: Int = 0) async throws -> Set<String> {
        let publisher = Publisher(to: topic, on: broker)
        var ids: Set<String> = []
        for start in stride(from: first, to: first + count, by: 500) {
            let events = (start..<min(start + 500, first + count)).map { number in
                Event(
                    id: "e\(number)", source: "soak", type: EventType(unchecked: Numbered.type),
                    partitionKey: "k\(number % keys)", data: EventData(Array("\(number / keys)".utf8)))
            }
            for (event, result) in zip(events, try await publisher.publish(events)) {
                _ = try result.get()
                ids.insert(event.id)
            }
        }
        return ids
    }

    /// The ids of a group's dead letters, each as often as it stands there.
    func dead(_ group: GroupName) async throws -> [String] {
        var ids: [String] = []
        for try await letter in broker.deadLetters(of: group, topic: topic) { ids.append(letter.eventID) }
        return ids
    }

    /// Waits until nothing of these groups is left to do; false when the time is up.
    func settle(_ groups: [GroupName], within limit: Duration) async throws -> Bool {
        let deadline = ContinuousClock.now + limit
        while ContinuousClock.now < deadline {
            var isSettled = true
            for group in groups {
                for report in try await broker.groupReports(topic: topic.name, group: group) {
                    isSettled = isSettled && report.isSettled
                }
            }
            if isSettled { return true }
            try await Task.sleep(for: .milliseconds(200))
        }
        return false
    }
}

/// A server with numbered events.
struct Stage: Sendable {
    let server: LocalRedisServer
    let work: NumberedTopic
    var client: RedisClient { work.client }
    var broker: Broker { work.broker }
    var topic: Topic { work.topic }

    /// The server loses what it has written since a snapshot a moment ago: what a failover to a replica that
    /// lags does.
    ///
    /// - Parameter work: how long the server goes on after the snapshot.
    func loseLastWrites(after work: Duration) async throws {
        _ = try await client.send(RedisCommand("SAVE"))
        try await Task.sleep(for: work)
        await server.kill()
        try await server.start()
    }

    static func with<R>(
        partitions: Int, survivesKills: Bool = true, losesWrites: Bool = false,
        _ body: (Stage) async throws -> R
    ) async throws -> R {
        // What was acknowledged survives a kill; without an append-only file only what a snapshot has.
        let server = LocalRedisServer(
            appendOnly: !losesWrites, options: survivesKills ? ["--appendfsync", "always"] : [])
        return try await withRedisServer(server) { server in
            let client = RedisClient(try RedisConfiguration(url: server.url))
            defer { client.close() }
            return try await body(
                Stage(server: server, work: NumberedTopic(client, partitions: partitions)))
        }
    }
}

/// Lines on standard output, and whether all held.
struct Verdict {
    private(set) var holds = true

    mutating func check(_ what: String, _ violations: some Collection<String>) {
        guard !violations.isEmpty else { return print("  held   \(what)") }
        holds = false
        print(
            "  BROKEN \(what): \(violations.count), such as \(violations.prefix(3).joined(separator: "; "))")
    }

    mutating func demand(_ what: String, _ count: Int) {
        if count > 0 { return print("  seen   \(what): \(count)") }
        holds = false
        print("  BROKEN \(what): none, so this run proves nothing about it")
    }
}
