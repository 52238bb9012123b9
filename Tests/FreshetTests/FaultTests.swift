import Freshet
import FreshetTesting
import Hiredis
import ServiceLifecycle
import Synchronization
import Testing

/// What a subscription does when the server or its data goes away.
@Suite struct FaultTests {
    @Test(arguments: ["FLUSHALL", "DEL", "XGROUP"])
    func `a stream or group that vanishes is made again, and what comes after is handled`(how: String)
        async throws
    {
        try await Rig.with { rig in
            let seen = Seen()
            let subscription = Subscription(to: .orders, group: "a", from: .latest, on: rig.broker) {
                On(Placed.self) { order, _ in seen.add(order.orderId) }
            }
            try await rig.running(subscription) {
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
            let seen = Seen()
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
            try await rig.running(subscription) {
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
}
