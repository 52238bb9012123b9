import Foundation
import Freshet
import FreshetRecords
import FreshetReplay
@testable import FreshetService
import FreshetTesting
import Hiredis
import Logging
import Metrics
import Testing

/// What is looked up of groups now and then.
@Suite struct GroupGaugesTests {
    /// A topic that `copy` reads, with nobody there who works.
    private struct Stage {
        let server: LocalRedisServer
        let client: RedisClient
        let metrics: PrometheusMetrics
        let now: Int
        var broker: Broker { Broker(client, namespace: "test") }

        func keys(_ partition: Int = 0) -> PartitionKeys { broker.keys("notes", partition) }

        func redis(_ arguments: any RedisArgument...) async throws {
            try await client.send(RedisCommand(arguments: arguments))
        }

        func page() throws -> MetricsPage { try MetricsPage(metrics.text()) }

        func board(_ records: ServiceRecords? = nil) -> GaugeBoard {
            GaugeBoard(
                broker, records: records,
                logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() }))
        }

        /// Adds entries, one a second, the last one a second ago.
        func fill(_ count: Int, partition: Int = 0) async throws {
            var pipeline = RedisPipeline()
            for number in (1...count).reversed() {
                pipeline.append(
                    "XADD", keys(partition).events, "\(now - number * 1000)-0", "id", "e\(number)", "source",
                    "test",
                    "type", "note.taken")
            }
            for reply in try await client.send(pipeline) { try reply.get() }
        }
    }

    private func withStage(
        partitions: Int = 2, timeout: Duration = .seconds(10), _ body: (Stage) async throws -> Void
    ) async throws {
        let metrics = PrometheusMetrics()
        try await withMetricsFactory(metrics) {
            try await withRedisServer { server in
                var configuration = try RedisConfiguration(url: server.url)
                configuration.commandTimeout = timeout
                let client = RedisClient(configuration)
                defer { client.close() }
                let now = Int(try await Broker(client).serverTime().milliseconds)
                let stage = Stage(server: server, client: client, metrics: metrics, now: now)
                try await stage.broker.declare(
                    TopicDeclaration(Topic("notes", partitions: partitions), groups: [.init("copy")]))
                try await body(stage)
            }
        }
    }

    private let target = GaugeBoard.Target(topic: Topic("notes", partitions: 2), group: "copy")

    @Test func `the gauges say what stands in Redis, over all partitions`() async throws {
        try await withStage { stage in
            try await stage.fill(10)
            try await stage.fill(3, partition: 1)
            let keys = stage.keys()
            try await stage.redis(
                "XREADGROUP", "GROUP", "copy", "c1", "COUNT", 4, "STREAMS", keys.events, ">")
            try await stage.redis("XACK", keys.events, "copy", "\(stage.now - 10_000)-0")
            try await stage.redis("XGROUP", "CREATECONSUMER", keys.events, "copy", "c2")
            for (member, due) in [("a", -1), ("b", 60_000), ("c", 90_000)] {
                try await stage.redis("ZADD", keys.delayed("copy"), stage.now + due, member)
            }
            for id in [20, 15] {
                try await stage.redis("XADD", keys.redelivery("copy"), "\(stage.now - id * 1000)-0", "a", "b")
            }
            try await stage.redis(
                "XREADGROUP", "GROUP", "copy", "c2", "COUNT", 1, "STREAMS", keys.redelivery("copy"), ">")
            for id in [50, 30] {
                try await stage.redis("XADD", keys.dead("copy"), "\(stage.now - id * 1000)-0", "a", "b")
            }
            try await stage.redis("XADD", stage.keys(1).invalid("copy"), "*", "a", "b")
            for partition in 0..<2 {
                try await stage.redis("HSET", stage.keys(partition).lease("copy"), "owner", "c1", "epoch", 1)
            }
            var board = stage.board()
            let isWhole = await board.look(at: [target])
            #expect(isWhole)
            let page = try stage.page()
            for (name, value) in [
                ("lag", 9.0), ("lag_known", 1), ("pending", 4), ("delayed", 3), ("redelivery", 1),
                ("dead", 2), ("invalid", 1), ("backlog", 15), ("consumers", 2), ("lease_owners", 1),
                ("partitions", 2),
            ] {
                #expect(page.of("group_\(name)", "copy") == value, "\(name)")
            }
            for (name, age) in [("waiting", 15.0), ("pending", 20), ("dead", 50)] {
                let seconds = try #require(page.of("group_oldest_\(name)_seconds", "copy"))
                #expect((age..<age + 60).contains(seconds), "\(name): \(seconds)")
            }
            #expect(page["freshet_topic_entries{topic=\"notes\"}"] == 13)
            #expect(page.of("replay_running", "copy") == 0)
        }
    }

    @Test func `a lag that the server does not know is counted up to a bound, and said to be so`()
        async throws
    {
        try await withStage { stage in
            var board = stage.board()
            func lag() async throws -> [Double?] {
                await board.look(at: [target])
                let page = try stage.page()
                return [page.of("group_lag", "copy"), page.of("group_lag_known", "copy")]
            }
            var seen = try await lag()
            #expect(seen == [0, 1], "there is no log")
            try await stage.fill(3000)
            seen = try await lag()
            #expect(seen == [3000, 1])
            try await stage.redis(
                "XREADGROUP", "GROUP", "copy", "c1", "COUNT", 4, "STREAMS", stage.keys().events, ">")
            seen = try await lag()
            #expect(seen == [2996, 1])
            // What is deleted ahead of a group makes its lag unknown to the server.
            try await stage.redis("XDEL", stage.keys().events, "\(stage.now - 500_000)-0")
            seen = try await lag()
            #expect(seen == [1000, 0], "more wait than are counted")
            try await stage.redis("XTRIM", stage.keys().events, "MINID", "\(stage.now - 20_000)")
            try await stage.redis(
                "XGROUP", "SETID", stage.keys().events, "copy", "\(stage.now - 12_000)-0")
            seen = try await lag()
            #expect(seen == [11, 0], "all are counted, and yet not known")
            try await stage.redis("XGROUP", "SETID", stage.keys().events, "copy", "0")
            seen = try await lag()
            #expect(seen[0] == 20)
            try await stage.redis("XGROUP", "DESTROY", stage.keys().events, "copy")
            seen = try await lag()
            #expect(seen == [20, 1], "a group that vanished stands at its start")
        }
    }

    @Test func `after a trim ahead of the group no more waits than the log holds`() async throws {
        try await withStage(partitions: 1) { stage in
            try await stage.fill(10)
            try await stage.redis(
                "XREADGROUP", "GROUP", "copy", "c1", "COUNT", 2, "STREAMS", stage.keys().events, ">")
            try await stage.redis("XTRIM", stage.keys().events, "MAXLEN", 5)
            var board = stage.board()
            await board.look(at: [.init(topic: Topic("notes"), group: "copy")])
            let page = try stage.page()
            #expect(page.of("group_lag", "copy") == 5)
            #expect(page.of("group_pending", "copy") == 2, "what was taken is still to be settled")
        }
    }

    @Test func `what cannot be looked up is gone, and counted, until it can`() async throws {
        try await withStage(timeout: .milliseconds(300)) { stage in
            var board = stage.board()
            await board.look(at: [target])
            #expect(try stage.page().of("group_lag", "copy") == 0)
            stage.server.pause()
            var isWhole = await board.look(at: [target])
            stage.server.resume()
            #expect(!isWhole)
            var page = try stage.page()
            #expect(!page.values.keys.contains { $0.contains("_group_") || $0.contains("_topic_") })
            #expect(page["freshet_poll_failures_total{what=\"group\"}"] == 1)
            isWhole = await board.look(at: nil)
            #expect(!isWhole)
            page = try stage.page()
            #expect(page["freshet_poll_failures_total{what=\"groups\"}"] == 1)
            isWhole = await board.look(at: [target])
            #expect(isWhole)
            #expect(try stage.page().of("group_lag", "copy") == 0)
            isWhole = await board.look(at: [])
            #expect(isWhole)
            #expect(try stage.page().of("group_lag", "copy") == nil, "a group that is not there any more")
        }
    }

    @Test func `a replay's progress is told while it runs`() async throws {
        try await withStage(partitions: 1) { stage in
            try await stage.fill(400)
            try await stage.redis("XGROUP", "SETID", stage.keys().events, "copy", "$")
            var request = ReplayRequest(topic: "notes", to: .group("copy"))
            request.pace.rate = 100
            let (broker, actor) = (stage.broker, Operator("tester"))
            let job = try await broker.save(try await broker.plan(request), by: actor)
            let running = Task { try await ReplayRun.run(job, by: actor, on: broker) { _ in true } }
            var board = stage.board()
            let target = GaugeBoard.Target(topic: Topic("notes"), group: "copy")
            try await eventually("some are on their way") {
                await board.look(at: [target])
                let page = try stage.page()
                let done = page.of("replay_events", "copy") ?? 0
                return done > 0 && done < 400 && page.of("replay_running", "copy") == 1
                    && page.of("replay_remaining", "copy") == 400 - done
            }
            try await broker.cancel(try await broker.replay(job.id), by: actor)
            _ = await running.result
            await board.look(at: [target])
            let page = try stage.page()
            #expect(page.of("replay_running", "copy") == 0 && page.of("replay_events", "copy") == 0)
            #expect(page.of("replay_remaining", "copy") == 0)
        }
    }

    @Test func `a look costs three commands and a script for each partition, whatever waits`() async throws {
        try await withStage { stage in
            try await stage.fill(5000)
            try await stage.fill(5000, partition: 1)
            try await stage.redis(
                "XREADGROUP", "GROUP", "copy", "c1", "COUNT", 4, "STREAMS", stage.keys().events, ">")
            var board = stage.board()
            await board.look(at: [target])
            try await stage.redis("CONFIG", "RESETSTAT")
            for _ in 0..<100 { await board.look(at: [target]) }
            let stats = try await stage.client.send(RedisCommand("INFO", "commandstats")).string ?? ""
            func calls(_ name: String) -> Int {
                let line = stats.split(separator: "\r\n").first { $0.hasPrefix("cmdstat_\(name):") }
                return line?.firstMatch(of: /calls=([0-9]+)/).flatMap { Int($0.output.1) } ?? 0
            }
            #expect(["hmget", "hlen", "get"].map(calls) == [100, 100, 100])
            #expect(calls("evalsha") == 200 && calls("eval") == 0)
            #expect(calls("xrange") == 200, "the first that waits")
        }
    }
}
