import Freshet
import FreshetTesting
import Hiredis
import ServiceLifecycle
import Synchronization
import Testing

/// Partitions that are to change hands while handlers run.
@Suite struct HandOverTests {
    private struct Hiccup: Error {}

    private func ordered(_ lease: Duration = .seconds(2)) -> SubscriptionOptions {
        var options = options(concurrency: 8, lease: lease, attempts: 8)
        options.ordering = .perKey
        options.breaker.failures = 0
        return options
    }

    /// A key of each partition, and another one of each.
    private func keys(of topic: Topic) -> (own: [String], others: [String]) {
        let names = (0..<1000).map { "k\($0)" }
        let byPartition = (0..<topic.partitions).map { partition in
            names.filter { topic.partition(ofKey: $0) == partition }
        }
        return (byPartition.map { $0[0] }, byPartition.map { $0[1] })
    }

    private func publish(_ key: String, _ id: String, to topic: Topic, on broker: Broker) async throws {
        let event = try Event(Placed(orderId: id), source: "till", id: id, key: key)
        _ = try await Publisher(to: topic, on: broker).publish(event)
    }

    @Test func `a handler that hangs stops neither its partition nor the balance when a consumer joins`()
        async throws
    {
        try await Rig.with { rig in
            let topic = Topic("orders", partitions: 2)
            let (own, others) = keys(of: topic)
            let (gate, hanging, seen) = (Gate(), Record<String>(), Record<String>())
            func make(_ name: String) -> Subscription {
                Subscription(
                    to: topic, group: "a", on: rig.broker, consumer: ConsumerName(unchecked: name),
                    options: ordered()
                ) {
                    On(Placed.self) { order, _ in
                        if order.orderId.hasPrefix("hangs") {
                            hanging.add(order.orderId)
                            await gate.wait()
                        }
                        seen.add("\(order.orderId) \(name)")
                    }
                }
            }
            try await running(make("first")) {
                defer { gate.open() }
                // Of partition 1 as well: what is given away first must not depend on its number.
                for (number, key) in own.enumerated() {
                    try await publish(key, "hangs\(number)", to: topic, on: rig.broker)
                }
                try await eventually("both hang") { hanging.count == 2 }
                try await running(make("second")) {
                    try await eventually("both have met") {
                        let members = rig.broker.namespace.membersKey("orders", "a")
                        return try await rig.client.send(RedisCommand("HLEN", members)).integer == 2
                    }
                    // Both partitions have a handler that hangs: their other keys go on all the same.
                    for round in 0..<5 {
                        for (number, key) in others.enumerated() {
                            try await publish(key, "o\(round)-\(number)", to: topic, on: rig.broker)
                        }
                        try await eventually("the other keys go on", within: .seconds(20)) {
                            seen.all.filter { $0.hasPrefix("o\(round)-") }.count == others.count
                        }
                        try await Task.sleep(for: .milliseconds(500))
                    }
                    #expect(try await rig.owners(of: topic, "a") == ["first", "first"])
                    gate.open()
                    try await eventually("a partition changes hands", within: .seconds(20)) {
                        Set(try await rig.owners(of: topic, "a")) == ["first", "second"]
                    }
                }
            }
            #expect(seen.all.filter { $0.hasPrefix("hangs") }.count == 2)
        }
    }

    @Test func `the partition that is idle is given away first`() async throws {
        try await Rig.with { rig in
            let topic = Topic("orders", partitions: 2)
            for busy in 0..<2 {
                let (gate, hanging) = (Gate(), Record<String>())
                func make(_ name: String) -> Subscription {
                    Subscription(
                        to: topic, group: GroupName(unchecked: "a\(busy)"), on: rig.broker,
                        consumer: ConsumerName(unchecked: name),
                        options: ordered(.seconds(20))
                    ) {
                        On(Placed.self) { order, _ in
                            if order.orderId != "hangs\(busy)" { return }
                            hanging.add("")
                            await gate.wait()
                        }
                    }
                }
                try await running(make("first")) {
                    defer { gate.open() }
                    try await publish(keys(of: topic).own[busy], "hangs\(busy)", to: topic, on: rig.broker)
                    try await eventually("it hangs") { hanging.count == 1 }
                    try await running(make("second")) {
                        try await eventually("the other partition changes hands") {
                            let owners = try await rig.owners(
                                of: topic, GroupName(unchecked: "a\(busy)"))
                            return owners[busy] == "first" && owners[1 - busy] == "second"
                        }
                        gate.open()
                    }
                }
            }
        }
    }

    @Test func `the events of a failed batch do not start any more when their partition is lost`()
        async throws
    {
        try await Rig.with { rig in
            let (gate, calls, lost) = (Gate(), Record<Int>(), Record<String>())
            var options = ordered(.seconds(2))
            options.observePartition = { _, _, isOwned in if !isOwned { lost.add("") } }
            let subscription = Subscription(to: .orders, group: "a", on: rig.broker, options: options) {
                OnBatch(Placed.self, upTo: 4, within: .seconds(1)) { orders in
                    calls.add(orders.count)
                    if orders.count > 1 { throw Hiccup() }
                    await gate.wait()
                }
            }
            try await rig.place(["1", "2", "3", "4"])
            try await running(subscription) {
                defer { gate.open() }
                try await eventually("the first one runs alone") { calls.all == [4, 1] }
                try await rig.client.send(
                    RedisCommand("HSET", rig.keys.lease("a"), "owner", "other", "epoch", "9999999999999"))
                try await eventually("the loss is known") { lost.count == 1 }
                gate.open()
                try await eventually("its settlement is refused") { subscription.counters[.fenced] == 1 }
            }
            #expect(calls.all == [4, 1])
            #expect(try await rig.pending("a") == 4)
        }
    }

    @Test(arguments: [Ordering.any, .perKey])
    func `a handler is not called again in place when a drain has begun`(ordering: Ordering) async throws {
        try await Rig.with { rig in
            let (gate, calls) = (Gate(), Record<String>())
            var options = options(attempts: 1000)
            options.ordering = ordering
            options.breaker.failures = 0
            options.retry.immediateRetries = 900
            let subscription = Subscription(to: .orders, group: "a", on: rig.broker, options: options) {
                On(Placed.self) { _, _ in
                    calls.add("")
                    if calls.count == 3 { await gate.wait() }
                    throw Hiccup()
                }
            }
            let group = ServiceGroup(
                configuration: .init(services: [.init(service: subscription)], logger: quiet))
            try await withThrowingTaskGroup(of: Void.self) { tasks in
                defer { gate.open() }
                tasks.addTask { try await group.run() }
                try await rig.place(["1"])
                try await eventually("the third call") { calls.count == 3 }
                await group.triggerGracefulShutdown()
                try await eventually("it reads no more") { subscription.pulse.silence == nil }
                gate.open()
                try await tasks.waitForAll()
            }
            #expect(calls.count == 3)
            #expect(try await rig.pending("a") == 0)
            #expect(try await rig.client.send(RedisCommand("ZCARD", rig.keys.delayed("a"))).integer == 1)
        }
    }

    @Test func `the rest of a failed batch is handed back when a drain has begun`() async throws {
        try await Rig.with { rig in
            let (gate, calls) = (Gate(), Record<Int>())
            let subscription = Subscription(to: .orders, group: "a", on: rig.broker, options: options()) {
                OnBatch(Placed.self, upTo: 4, within: .seconds(1)) { orders in
                    calls.add(orders.count)
                    if orders.count > 1 { throw Hiccup() }
                    await gate.wait()
                }
            }
            let group = ServiceGroup(
                configuration: .init(services: [.init(service: subscription)], logger: quiet))
            try await withThrowingTaskGroup(of: Void.self) { tasks in
                defer { gate.open() }
                tasks.addTask { try await group.run() }
                try await rig.place(["1", "2", "3", "4"])
                try await eventually("the first one runs alone") { calls.all == [4, 1] }
                await group.triggerGracefulShutdown()
                try await eventually("it reads no more") { subscription.pulse.silence == nil }
                gate.open()
                try await tasks.waitForAll()
            }
            #expect(calls.all == [4, 1])
            #expect(subscription.counters[.released] == 3)
        }
    }
}
