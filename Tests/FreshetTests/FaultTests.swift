import Freshet
import FreshetTesting
import Hiredis
import ServiceLifecycle
import Synchronization
import Testing

/// What a subscription does when the server or its data goes away.
@Suite struct FaultTests {

    @Test func `an event is set aside as a dead letter although the server is out of memory`() async throws {
        struct Broken: Error {}
        try await Rig.with { rig in
            let gate = Gate()
            let subscription = Subscription(
                to: .orders, group: "a", on: rig.broker, options: options(attempts: 1)
            ) {
                On(Placed.self) { _, _ in
                    await gate.wait()
                    throw Broken()
                }
            }
            try await running(subscription) {
                try await rig.place(["bad"])
                try await eventually("it is taken") { (try? await rig.pending("a")) == 1 }
                try await rig.client.send(RedisCommand("CONFIG", "SET", "maxmemory", "1"))
                let refused = await #expect(throws: FreshetError.self) { try await rig.place(["next"]) }
                #expect(refused?.cause?.serverCode == "OOM")
                gate.open()
                try await eventually("the dead letter") { try await rig.length(rig.keys.dead("a")) == 1 }
            }
            #expect(try await rig.pending("a") == 0)
        }
    }

    @Test(arguments: ["FLUSHALL", "DEL", "XGROUP"])
    func `a stream or group that vanishes is made again, and what comes after is handled`(how: String)
        async throws
    {
        try await Rig.with { rig in
            let seen = Record<String>()
            let subscription = Subscription(to: .orders, group: "a", from: .latest, on: rig.broker) {
                On(Placed.self) { order, _ in seen.add(order.orderId) }
            }
            try await running(subscription) {
                try await eventually("the group is there") {
                    (try? await rig.client.send(RedisCommand("XINFO", "GROUPS", rig.keys.events)).array?.count)
                        == 1
                }
                try await rig.place(["before"])
                try await eventually("handled") { subscription.counters[.acknowledged] == 1 }
                // In one transaction with what goes, so that the consumer cannot have made anything in between.
                let event = try Event(Placed(orderId: "after"), source: "till", id: "after")
                var pipeline = RedisPipeline()
                pipeline.append("MULTI")
                switch how {
                case "DEL": pipeline.append("DEL", rig.keys.events)
                case "XGROUP": pipeline.append("XGROUP", "DESTROY", rig.keys.events, "a")
                default: pipeline.append("FLUSHALL")
                }
                pipeline.append(
                    "XADD", rig.keys.events, "*", "specversion", "1.0", "id", event.id, "source",
                    event.source, "type",
                    event.type.rawValue, "data", event.data.string)
                pipeline.append("EXEC")
                for reply in try await rig.client.send(pipeline) { try reply.get() }
                try await eventually("handled again") { seen.all.contains("after") }
            }
        }
    }

    @Test(arguments: ["freeze", "kill"])
    func `a server that goes away and comes back costs no event`(how: String) async throws {
        try await Rig.with { rig in
            let seen = Record<String>()
            let subscription = Subscription(
                to: .orders, group: "a", on: rig.broker, options: options(concurrency: 4)
            ) {
                On(Placed.self) { order, _ in
                    seen.add(order.orderId)
                    try await Task.sleep(for: .milliseconds(2))
                }
            }
            try await rig.place((0..<500).map(String.init))
            try await rig.client.send(RedisCommand("CONFIG", "SET", "appendfsync", "always"))
            try await running(subscription) {
                try await eventually("half way") { seen.count > 100 }
                if how == "kill" {
                    await rig.server.kill()
                    try await Task.sleep(for: .milliseconds(300))
                    try await rig.server.start()
                } else {
                    rig.server.pause()
                    try await Task.sleep(for: .seconds(3))
                    rig.server.resume()
                }
                try await eventually("the rest", within: .seconds(40)) { Set(seen.all).count == 500 }
                try await eventually("all settled", within: .seconds(40)) { try await rig.pending("a") == 0 }
            }
        }
    }

    @Test func `events that together are more than a reply may hold are handled a few at a time`()
        async throws
    {
        try await withRedisServer { server in
            var configuration = try RedisConfiguration(url: server.url)
            let publishing = RedisClient(configuration)
            configuration.maxReplyBytes = 1024 * 1024
            let client = RedisClient(configuration)
            defer { for client in [publishing, client] { client.close() } }
            let seen = Record<String>()
            let padding = String(repeating: "x", count: 100_000)
            let subscription = Subscription(
                to: .orders, group: "a", on: Broker(client, namespace: "test"),
                options: options(concurrency: 32, lease: .seconds(1))
            ) {
                On(Placed.self) { order, _ in seen.add(String(order.orderId.prefix { $0 != "x" })) }
            }
            let publisher = Publisher(to: .orders, on: Broker(publishing, namespace: "test"))
            for number in 0..<40 {
                try await publisher.publish(
                    Event(Placed(orderId: "\(number)" + padding), source: "till", key: "k"))
            }
            // The limit is what it seems: all of them are more than one reply may hold.
            let error = await #expect(throws: RedisError.self) {
                try await client.send(.xrange("test:events:{orders:0}"))
            }
            #expect(error?.code == .replyTooLarge)
            try await running(subscription) {
                try await eventually("all are handled") { Set(seen.all).count == 40 }
                try await eventually("and settled") {
                    try await publishing.send(.xpending("test:events:{orders:0}", "a")).count == 0
                }
            }
            #expect(try await publishing.send(.xlen("test:dead:{orders:0}:a")) == 0)
        }
    }
}
