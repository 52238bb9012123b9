import Foundation
import Freshet
import FreshetTesting
import Hiredis
import ServiceLifecycle
import Testing

/// What a consumer gives back when it is asked to stop, and how soon others have it.
@Suite struct DrainTests {
    /// So long that nothing which waits for a lease, or for a part of one, comes in time.
    private static let lease = Duration.seconds(120)
    private static let soon = Duration.seconds(5)

    private func subscription(
        to topic: Topic, _ rig: Rig, _ options: SubscriptionOptions, name: ConsumerName,
        _ handle: @escaping @Sendable (Delivery) async -> Void
    ) -> Subscription {
        Subscription(to: topic, group: "a", on: rig.broker, consumer: name, options: options) {
            On(Placed.self) { _, delivery in await handle(delivery) }
        }
    }

    private func publish(_ count: Int, to topic: Topic, _ rig: Rig) async throws {
        let events = try (0..<count).map { number in
            try Event(Placed(orderId: "\(number)"), source: "till", id: "e\(number)", key: "k\(number)")
        }
        for result in try await Publisher(to: topic, on: rig.broker).publish(events) { _ = try result.get() }
    }

    /// A subscription that runs until it is told to stop, and that ends when the body throws.
    private func stopping(
        _ subscription: Subscription, _ body: (_ stop: () async -> Void) async throws -> Void
    ) async throws {
        let group = ServiceGroup(
            configuration: .init(services: [.init(service: subscription)], logger: quiet))
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await group.run() }
            do {
                try await body { await group.triggerGracefulShutdown() }
            } catch {
                tasks.cancelAll()
                throw error
            }
            try await tasks.waitForAll()
        }
    }

    @Test(arguments: [Ordering.any, .perKey])
    func `one that never met its server waits for no command of it`(ordering: Ordering) async throws {
        let client = RedisClient(try RedisConfiguration(url: "unix:///tmp/freshet-nobody-\(UUID()).sock"))
        defer { client.close() }
        #expect(client.configuration.commandTimeout >= .seconds(10))
        var options = SubscriptionOptions()
        options.ordering = ordering
        let lone = Subscription(
            to: Topic("orders"), group: "a", on: Broker(client, namespace: "test"), options: options
        ) {
            On(Placed.self) { _, _ in }
        }
        var asked = ContinuousClock.now
        try await stopping(lone) { stop in
            try await Task.sleep(for: .milliseconds(50))
            asked = .now
            await stop()
        }
        let took = ContinuousClock.now - asked
        #expect(took < .seconds(8), "\(took)")
    }

    @Test func `what was not begun is a peer's while handlers still run`() async throws {
        try await Rig.with { rig in
            let topic = Topic("orders", partitions: 8)
            let (running, gate, others) = (Record<String>(), Gate(), Record<String>())
            defer { gate.open() }
            let first = subscription(
                to: topic, rig, options(concurrency: 4, lease: Self.lease), name: "first"
            ) {
                running.add($0.event.id)
                await gate.wait()
            }
            let second = subscription(
                to: topic, rig, options(concurrency: 64, lease: Self.lease), name: "second"
            ) {
                others.add($0.event.id)
            }
            try await publish(200, to: topic, rig)
            try await stopping(first) { stop in
                try await eventually("it has its hands full") { running.count == 4 }
                try await FreshetTesting.running(second) {
                    try await eventually("the second one has what the first has not taken") {
                        try await rig.waiting(topic, "a") == 0
                    }
                    #expect(others.count < 196, "the first one holds more than it runs")
                    await stop()
                    try await eventually("it has the rest", within: Self.soon) { others.count == 196 }
                    #expect(first.counters[.acknowledged] == 0 && first.counters[.released] > 0)
                    gate.open()
                    try await eventually("settled") { try await rig.isSettled(topic, "a") }
                }
            }
            #expect(first.counters[.acknowledged] == 4 && first.unsettled == 0)
            #expect(Set(running.all + others.all).count == 200 && others.count == 196)
        }
    }

    @Test func `partitions go to peers at once, each when its last handler has ended`() async throws {
        try await Rig.with { rig in
            let topic = Topic("orders", partitions: 8)
            let (gate, handled) = (Gate(), Record<ConsumerName>())
            defer { gate.open() }
            var ordered = options(concurrency: 8, lease: Self.lease)
            ordered.ordering = .perKey
            let first = subscription(to: topic, rig, ordered, name: "first") {
                if $0.event.id == "e0" { await gate.wait() }
                handled.add("first")
            }
            let second = subscription(to: topic, rig, ordered, name: "second") { _ in handled.add("second") }
            try await stopping(first) { stop in
                try await eventually("the first one has all") {
                    try await rig.owners(of: topic, "a").count { $0 == "first" } == 8
                }
                try await publish(1, to: topic, rig)
                try await running(second) {
                    try await eventually("who comes has its part at once", within: Self.soon) {
                        try await rig.owners(of: topic, "a").count { $0 == "second" } == 4
                    }
                    await stop()
                    let isHandled = handled.count == 1
                    let busy = isHandled ? 0 : 1
                    try await eventually("the idle ones at once", within: Self.soon) {
                        try await rig.owners(of: topic, "a").count { $0 == "second" } >= 8 - busy
                    }
                    gate.open()
                    try await eventually("and the last one behind its handler", within: Self.soon) {
                        try await rig.owners(of: topic, "a").count { $0 == "second" } == 8
                    }
                }
            }
        }
    }

    @Test func `a consumer that stands by takes over at once`() async throws {
        try await Rig.with { rig in
            var ordered = options(lease: Self.lease)
            ordered.ordering = .perKey
            let first = subscription(to: .orders, rig, ordered, name: "first") { _ in }
            let second = subscription(to: .orders, rig, ordered, name: "second") { _ in }
            try await stopping(first) { stop in
                try await eventually("the first one owns it") {
                    try await rig.owners(of: .orders, "a") == ["first"]
                }
                try await running(second) {
                    try await eventually("the second one has come") {
                        let members = rig.broker.namespace.membersKey("orders", "a")
                        return try await rig.client.send(RedisCommand("HLEN", members)).integer == 2
                    }
                    await stop()
                    try await eventually("it has it", within: Self.soon) {
                        try await rig.owners(of: .orders, "a") == ["second"]
                    }
                }
            }
        }
    }

    @Test func `what only waits for a suspect to end is handed back`() async throws {
        try await Rig.with { rig in
            let (running, gate) = (Record<String>(), Gate())
            defer { gate.open() }
            let subscription = subscription(
                to: .orders, rig, options(lease: .seconds(1), deliveries: 100), name: "first"
            ) {
                running.add($0.event.id)
                await gate.wait()
            }
            try await publish(3, to: .orders, rig)
            try await rig.client.send(.xgroupCreate(rig.keys.events, "a", after: .zero))
            // A process has died of these four times.
            let read = try await rig.client.send(
                .xreadgroup("a", "dead", [rig.keys.events], count: 3, block: .milliseconds(1)))
            for entry in read[0].entries {
                try await rig.client.send(
                    RedisCommand(
                        "XCLAIM", rig.keys.events, "a", "dead", 0, entry.id, "IDLE", 60_000, "RETRYCOUNT", 4,
                        "JUSTID"))
            }
            try await stopping(subscription) { stop in
                try await eventually("one of them runs") { running.count == 1 }
                await stop()
                try await eventually("the others are handed back", within: Self.soon) {
                    subscription.counters[.released] == 2
                }
                #expect(subscription.counters[.acknowledged] == 0)
                gate.open()
            }
            #expect(running.count == 1 && subscription.counters[.acknowledged] == 1)
        }
    }
}

extension Rig {
    /// How much of a topic no consumer of the group was given yet.
    fileprivate func waiting(_ topic: Topic, _ group: GroupName) async throws -> Int {
        try await broker.groupReports(topic: topic.name, group: group).reduce(0) { $0 + $1.waiting }
    }
}
