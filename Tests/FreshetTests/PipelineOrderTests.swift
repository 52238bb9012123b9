import Freshet
import FreshetTesting
import Hiredis
import Testing

/// What is published in one pipeline stands in its log in that order, or not at all.
@Suite struct PipelineOrderTests {
    @Test func `a node that recovers in the middle of a pipeline puts nothing behind what came later`()
        async throws
    {
        // Without full coverage a node refuses its slot while nobody has it, and takes it back by a command.
        let options = ["--cluster-require-full-coverage", "no"]
        try await withRedisCluster(LocalRedisCluster(options: options)) { cluster in
            let client = RedisClient(try RedisConfiguration(url: cluster.url))
            defer { client.close() }
            let log = "events:{orders:0}"
            let (slot, node) = (HashSlot.of(log), cluster.firstPrimary(of: log))
            try await client.send(RedisCommand("EXISTS", log))
            try await cluster.send(RedisCommand("CLUSTER", "DELSLOTS", slot), to: node)
            var pipeline = RedisPipeline()
            pipeline.append("XADD", log, "*", "number", "1")
            // Goes with the command before it.
            pipeline.append("CLUSTER", "ADDSLOTS", slot)
            for number in 2...4 { pipeline.append("XADD", log, "*", "number", "\(number)") }
            let replies = try await client.send(pipeline, timeout: .seconds(5))
            #expect(replies[0].error?.serverCode == .clusterDown)
            #expect(replies[0].error?.isRetryable == true)
            #expect(replies[1].error == nil && replies[4].error == nil)
            let entries = try await client.send(.xrange(log, .zero ... .newest, count: 10))
            #expect(entries.compactMap { $0.field("number")?.string } == ["2", "3", "4"])
        }
    }

    @Test func `what was refused before a connection broke is not added behind what was not`() async throws {
        try await withRedisServer { server in
            let client = RedisClient(try RedisConfiguration(url: server.url))
            defer { client.close() }
            let broker = Broker(client, namespace: "test")
            let publisher = Publisher(to: Topic("orders"), on: broker)
            let events = (1...5).map { Event(id: "e\($0)", source: "test", type: "order.placed", data: "{}") }
            _ = try await publisher.publish([events[1], events[2]])
            let outcomes = try await publisher.addMissing(
                events, [0, 0, 0, 0, 0], behind: [.zero], upTo: nil, .memory,
                after: RedisError(.connectionLost, "", mayHaveRun: true), on: client)
            guard case .failure(let error) = outcomes[0] else {
                Issue.record("the first was added behind the second")
                return
            }
            #expect(error.code == .refused)
            for outcome in outcomes.dropFirst() { _ = try outcome.get() }
            let log = broker.keys("orders", 0).events
            let entries = try await client.send(.xrange(log, .zero ... .newest, count: 10))
            #expect(entries.compactMap { $0.field("id")?.string } == ["e2", "e3", "e4", "e5"])
        }
    }

    @Test func `a lock that another process holds is tried again later`() {
        #expect(FreshetError(.busy, "a replay is under way").isRetryable)
        #expect(!FreshetError(.refused, "no").isRetryable)
    }
}
