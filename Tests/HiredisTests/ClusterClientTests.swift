import FreshetTesting
import Logging
import Synchronization
import Testing

@testable import Hiredis

/// Many clients of one cluster, that ask for its map and lose its nodes together.
@Suite(.serialized) struct ClusterClientTests {
    private final class Answers: Sendable {
        private let number = Atomic(0)
        var count: Int { number.load(ordering: .relaxed) }
        func add() { number.wrappingAdd(1, ordering: .relaxed) }
    }

    @Test func `the first commands of many clients of a cluster are all answered`() async throws {
        try await withRedisCluster { nodes in
            var pipeline = RedisPipeline()
            for key in 0..<30 { pipeline.append("GET", "key\(key)") }
            let commands = pipeline
            for round in 0..<300 {
                let client = RedisClient(try RedisConfiguration(url: nodes.url))
                let clients = [client] + (0..<5).map { _ in client.dedicated() }
                defer { for client in clients { client.close() } }
                let answers = Answers()
                for number in 0..<12 {
                    let client = clients[max(0, number - 6)]
                    // On the loop as a consumer's, and elsewhere as a publisher's, while the first one asks for the map.
                    Task(executorPreference: number == 0 ? client.loop : nil) {
                        if number > 0 { try await Task.sleep(for: .microseconds(Int.random(in: 0...4000))) }
                        for reply in try await client.send(commands) { try reply.get() }
                        answers.add()
                    }
                }
                try await eventually("all of round \(round)", within: .seconds(20)) { answers.count == 12 }
            }
        }
    }

    @Test
    func `what comes to a node that has just been left goes elsewhere, what comes to a closed client ends`()
        async throws
    {
        // A task from elsewhere may be queued between the choice of a node and the sending to it.
        let silent = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
        let core = ConnectionCore(
            RedisConfiguration(address: .tcp(host: "localhost", port: 1)), role: .node, loop: .shared,
            logger: silent)
        core.loop.execute { core.abandon() }
        var pipeline = RedisPipeline()
        pipeline.append("PING")
        let outcome = await exchange([(core, pipeline)], timeout: .seconds(20), on: core.loop)[0]
        let error = #expect(throws: RedisError.self) { try outcome.get() }
        #expect(error?.remedy == .retryAfterPause && error?.mayHaveRun == false)

        let client = RedisClient(try RedisConfiguration(url: "redis+cluster://localhost:1"))
        client.close()
        let closed = await #expect(throws: RedisError.self) { try await client.send(RedisCommand("PING")) }
        #expect(closed?.code == .closed)
    }

    @Test func `many connections to a silent node ask for the map as one`() async throws {
        // The cluster is not to replace the node while the test runs.
        try await withRedisCluster(LocalRedisCluster(nodeTimeout: .seconds(60))) { nodes in
            let key = try #require((0...).lazy.map { "k\($0)" }.first { nodes.firstPrimary(of: $0) == 0 })
            let client = RedisClient(try RedisConfiguration(url: nodes.url))
            let clients = [client] + (0..<30).map { _ in client.dedicated() }
            defer { for client in clients { client.close() } }
            for client in clients { try await client.send(RedisCommand("GET", key)) }
            func questions() async throws -> Int {
                var count = 0
                for node in 1..<6 {
                    let statistics = try await nodes.send(RedisCommand("INFO", "commandstats"), to: node)
                        .string
                    let line = statistics?.split(whereSeparator: \.isNewline).first {
                        $0.hasPrefix("cmdstat_cluster|slots:calls=")
                    }
                    count += line.flatMap { Int($0.split(separator: "=")[1].prefix { $0.isNumber }) } ?? 0
                }
                return count
            }
            let before = try await questions()
            nodes.pause(0)
            defer { nodes.resume(0) }
            await withTaskGroup(of: Void.self) { tasks in
                for client in clients {
                    tasks.addTask {
                        // Not all in the same moment.
                        try? await Task.sleep(for: .milliseconds(Int.random(in: 0...300)))
                        _ = try? await client.send(RedisCommand("GET", key), timeout: .seconds(4))
                    }
                }
            }
            let asked = try await questions() - before
            print("asked \(asked) times for \(clients.count) connections")
            #expect(asked > 0 && asked <= 25)
        }
    }
}
