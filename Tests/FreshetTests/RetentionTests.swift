import Freshet
import FreshetTesting
import Hiredis
import Testing

/// Retention where a part of the servers is away, and where nobody subscribes.
@Suite struct RetentionTests {
    /// A topic with events on every partition of a cluster, of which one node does not answer.
    private struct Rig {
        let cluster: LocalRedisCluster
        let broker: Broker
        let topic: Topic
        /// The partitions of the node that is frozen; the first is among them.
        let away: Set<Int>

        static func with(_ body: (Rig) async throws -> Void) async throws {
            // The cluster is not to replace the node while the test runs.
            try await withRedisCluster(LocalRedisCluster(nodeTimeout: .seconds(120))) { cluster in
                var configuration = try RedisConfiguration(url: cluster.url)
                configuration.commandTimeout = .seconds(2)
                let client = RedisClient(configuration)
                defer { client.close() }
                let broker = Broker(client, namespace: "test")
                func node(of name: String, _ partition: Int) -> Int {
                    cluster.firstPrimary(of: broker.keys(TopicName(unchecked: name), partition).events)
                }
                // The declaration stands elsewhere, and the other nodes have partitions as well.
                let name = try #require(
                    (0..<1000).lazy.map { "kept\($0)" }.first { name in
                        let nodes = (0..<6).map { node(of: name, $0) }
                        let declared = cluster.firstPrimary(
                            of: broker.namespace.topicKey(TopicName(unchecked: name)))
                        return declared != nodes[0] && Set(nodes).count == 3
                    })
                let topic = Topic(TopicName(unchecked: name), partitions: 6)
                let first = node(of: name, 0)
                let rig = Rig(
                    cluster: cluster, broker: broker, topic: topic,
                    away: Set((0..<6).filter { node(of: name, $0) == first }))
                try await broker.declare(TopicDeclaration(topic, retention: Retention(count: 10)))
                try await body(rig)
            }
        }

        func publish(_ count: Int) async throws {
            let events = (0..<count).map {
                Event(id: "e\($0)", source: "test", type: "order.placed", partitionKey: "k\($0)", data: "{}")
            }
            for outcome in try await Publisher(to: topic, on: broker).publish(events) {
                _ = try outcome.get()
            }
        }

        /// How many entries the partitions hold whose node answers.
        func lengths() async throws -> [Int] {
            var lengths: [Int] = []
            for partition in 0..<6 where !away.contains(partition) {
                lengths.append(try await broker.client.send(.xlen(broker.keys(topic.name, partition).events)))
            }
            return lengths
        }
    }

    @Test func `a node that is away ends no pass over the partitions of others`() async throws {
        try await Rig.with { rig in
            try await rig.publish(6000)
            let paused = rig.cluster.firstPrimary(of: rig.broker.keys(rig.topic.name, 0).events)
            rig.cluster.pause(paused)
            defer { rig.cluster.resume(paused) }
            let report = try await rig.broker.enforceRetention(of: rig.topic)
            #expect(Set(report.failures.keys) == rig.away, "\(report)")
            #expect(try await rig.lengths().allSatisfy { $0 <= 110 })
            #expect(report.trimmed > 1000)
        }
    }

    @Test(arguments: [Ordering.any, .perKey])
    func `consumers trim what they can reach, also without the first partition`(ordering: Ordering)
        async throws
    {
        try await Rig.with { rig in
            let options = SubscriptionOptions.with(ordering, lease: .seconds(2))
            let handled = Record<String>()
            let subscription = Subscription(
                to: rig.topic, group: "invoice", on: rig.broker, options: options
            ) { On("order.placed") { delivery in handled.add(delivery.event.id) } }
            let paused = rig.cluster.firstPrimary(of: rig.broker.keys(rig.topic.name, 0).events)
            defer { rig.cluster.resume(paused) }
            try await running(subscription) {
                try await rig.publish(3000)
                try await eventually("all are handled", within: .seconds(120)) { handled.count >= 3000 }
                rig.cluster.pause(paused)
                // More than can have been trimmed before.
                let events = (0..<3000).map {
                    Event(
                        id: "f\($0)", source: "test", type: "order.placed", partitionKey: "k\($0)", data: "{}"
                    )
                }.filter { !rig.away.contains(rig.topic.partition(ofKey: $0.partitionKey ?? "")) }
                for outcome in try await Publisher(to: rig.topic, on: rig.broker).publish(events) {
                    _ = try outcome.get()
                }
                // They look every ten seconds.
                try await eventually("the others are trimmed", within: .seconds(120)) {
                    try await rig.lengths().allSatisfy { $0 <= 110 }
                }
                rig.cluster.resume(paused)
            }
        }
    }

    @Test func `publishers trim a topic that nobody subscribes to`() async throws {
        let memory = try InMemoryBroker()
        let (topic, broker) = (Topic("seen", partitions: 2), memory.broker)
        try await broker.declare(TopicDeclaration(topic, retention: Retention(count: 10)))
        let publisher = Publisher(to: topic, on: broker)
        func publish(_ numbers: Range<Int>) async throws {
            let events = numbers.map {
                Event(id: "e\($0)", source: "test", type: "order.seen", partitionKey: "k\($0)", data: "{}")
            }
            for outcome in try await publisher.publish(events) { _ = try outcome.get() }
        }
        func length() async throws -> Int {
            try await broker.client.send(.xlen(broker.keys(topic.name, 0).events))
                + broker.client.send(.xlen(broker.keys(topic.name, 1).events))
        }
        try await publish(0..<2000)
        #expect(try await length() == 2000)
        await memory.advance(by: .seconds(31))
        try await publish(2000..<2001)
        try await eventually("it is trimmed") { try await length() <= 220 }

        // A group that is declared and has not started needs them: this is not the publishers' business any
        // more.
        try await broker.declare(
            TopicDeclaration(topic, groups: [GroupDeclaration("late")], retention: Retention(count: 10)))
        try await publish(3000..<4000)
        await memory.advance(by: .seconds(31))
        try await publish(4000..<4001)
        let report = try await broker.enforceRetention(of: topic)
        #expect(report.trimmed == 0 && report.heldBackBy == ["late"])
    }
}

extension SubscriptionOptions {
    fileprivate static func with(_ ordering: Ordering, lease: Duration) -> SubscriptionOptions {
        var options = SubscriptionOptions()
        (options.ordering, options.lease) = (ordering, lease)
        return options
    }
}
