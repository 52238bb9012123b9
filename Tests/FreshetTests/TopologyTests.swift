import Freshet
import FreshetTesting
import Hiredis
import Testing

/// Publishing, reading, retrying and settling where the servers are several.
@Suite struct TopologyTests {
    private struct Hiccup: Error {}

    /// Every event is handled; each tenth fails at its first attempt and comes again; nothing is left behind.
    private func live(
        _ url: String, partitions: Int, _ disturb: () async throws -> Void
    ) async throws {
        let client = RedisClient(try RedisConfiguration(url: url))
        defer { client.close() }
        let broker = Broker(client, namespace: "test")
        let topic = Topic("orders", partitions: partitions)
        let publisher = Publisher(to: topic, on: broker)
        let seen = Record<String>()
        let subscription = Subscription(
            to: topic, group: "a", on: broker, options: options(concurrency: 32, lease: .seconds(2))
        ) {
            On(Placed.self) { order, delivery in
                if delivery.attempt == 1 && order.orderId.hasSuffix("0") { throw Hiccup() }
                seen.add(order.orderId)
            }
        }
        try await running(subscription) {
            for round in 0..<2 {
                for batch in 0..<10 {
                    let numbers = (0..<50).map { round * 500 + batch * 50 + $0 }
                    let events = try numbers.map {
                        try Event(Placed(orderId: "\($0)"), source: "till", id: "\($0)", key: "\($0)")
                    }
                    try await eventually("batch \(batch) is published") {
                        // Again under the same ids after an error: this test counts each id once.
                        guard let results = try? await publisher.publish(events) else { return false }
                        return results.allSatisfy { if case .success = $0 { true } else { false } }
                    }
                }
                if round == 0 { try await disturb() }
            }
            try await eventually("all are handled") { Set(seen.all).count == 1000 }
            try await eventually("and settled") {
                for partition in 0..<partitions {
                    let keys = broker.keys("orders", partition)
                    for key in [keys.events, keys.redelivery("a")] {
                        let pending = try await client.send(RedisCommand("XPENDING", key, "a"))
                        guard pending.array?[0].integer == 0 else { return false }
                    }
                    guard try await client.send(RedisCommand("ZCARD", keys.delayed("a"))).integer == 0 else {
                        return false
                    }
                }
                return true
            }
        }
    }

    @Test func `a topic's partitions live on a cluster's nodes, through a failover`() async throws {
        try await withRedisCluster { nodes in
            try await live(nodes.url, partitions: 5) {
                // A planned one, so that nothing acknowledged is lost.
                try await nodes.failOver(to: 3)
            }
        }
    }

    @Test func `behind sentinels events go on through a planned failover`() async throws {
        try await withRedisSentinels { nodes in
            try await live(nodes.url, partitions: 2) {
                try await nodes.send(RedisCommand("SENTINEL", "FAILOVER", nodes.name), to: 3)
                // Until it is told, the old primary takes writes that are lost: nothing is published meanwhile.
                try await eventually("the old primary follows") {
                    (try? await nodes.send(RedisCommand("ROLE"), to: 0))?.array?[0].string == "slave"
                }
            }
        }
    }

    @Test func `a node that answers nothing holds up its own partitions alone`() async throws {
        // The cluster is not to replace the node while the test runs.
        try await withRedisCluster(LocalRedisCluster(nodeTimeout: .seconds(60))) { nodes in
            let client = RedisClient(try RedisConfiguration(url: nodes.url))
            defer { client.close() }
            let broker = Broker(client, namespace: "test")
            let topic = Topic("orders", partitions: 6)
            let logs = (0..<6).map { broker.keys("orders", $0).events }
            let healthy = logs.filter { nodes.firstPrimary(of: $0) != 0 }
            try #require(!healthy.isEmpty && healthy.count < 6)
            let (gate, seen, lease) = (Gate(), Record<String>(), Duration.seconds(3))
            let subscription = Subscription(
                to: topic, group: "a", on: broker, options: options(concurrency: 48, lease: lease)
            ) {
                On(Placed.self) { order, _ in
                    seen.add(order.orderId)
                    await gate.wait()
                }
            }
            try await running(subscription) {
                let publisher = Publisher(to: topic, on: broker)
                for number in 0..<30 {
                    try await publisher.publish(
                        Event(Placed(orderId: "\(number)"), source: "till", key: "\(number)"))
                }
                try await eventually("all are in hand") { seen.count == 30 }
                nodes.pause(0)
                defer { nodes.resume(0) }
                let longest = ContinuousClock.now + lease * 2
                while ContinuousClock.now < longest {
                    for log in healthy {
                        for entry in try await client.send(.xpending(log, "a", .zero ... .newest, count: 99))
                        {
                            #expect(entry.idle < lease, "claims are renewed")
                        }
                    }
                    try await Task.sleep(for: .milliseconds(100))
                }
                gate.open()
                try await eventually("the other nodes' entries are settled", within: .seconds(8)) {
                    for log in healthy where try await client.send(.xpending(log, "a")).count > 0 {
                        return false
                    }
                    return true
                }
                nodes.resume(0)
                try await eventually("and the node's own, when it is back") {
                    for log in logs where try await client.send(.xpending(log, "a")).count > 0 {
                        return false
                    }
                    return true
                }
            }
            #expect(seen.count == 30, "each once")
        }
    }
}
