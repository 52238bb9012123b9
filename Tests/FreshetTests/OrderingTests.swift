import Freshet
import FreshetTesting
import Hiredis
import ServiceLifecycle
import Synchronization
import Testing

/// `.perKey` on real servers.
@Suite struct OrderingTests {
    private struct Hiccup: Error {}

    private func ordered(_ lease: Duration = .seconds(2), concurrency: Int = 32) -> SubscriptionOptions {
        var options = options(concurrency: concurrency, lease: lease, attempts: 8)
        options.ordering = .perKey
        options.retry.ceiling = .milliseconds(40)
        options.breaker.failures = 0
        return options
    }

    /// Events numbered within their key, the keys in turn.
    private func publish(_ count: Int, keys: Int, to topic: Topic, on broker: Broker, from first: Int = 0)
        async throws
    {
        let publisher = Publisher(to: topic, on: broker)
        for start in stride(from: first * keys, to: (first + count) * keys, by: 500) {
            let events = try (start..<min(start + 500, (first + count) * keys)).map { number in
                let key = "k\(number % keys)"
                return try Event(
                    Placed(orderId: "\(number / keys)"), source: "till", id: "\(key)-\(number / keys)",
                    key: key)
            }
            for result in try await publisher.publish(events) { _ = try result.get() }
        }
    }

    private func subscription(
        _ topic: Topic, _ broker: Broker, _ history: KeyHistory, _ options: SubscriptionOptions,
        _ work: @escaping @Sendable (Placed, Delivery) async throws -> Void = { _, _ in }
    ) -> Subscription {
        Subscription(to: topic, group: "a", on: broker, options: options) {
            On(Placed.self) { order, delivery in
                let key = delivery.event.partitionKey ?? ""
                history.begin(key, Int(order.orderId) ?? -1)
                defer { history.end(key) }
                try await work(order, delivery)
                history.done(key, Int(order.orderId) ?? -1)
            }
        }
    }

    @Test func `a key's events run one at a time and in order, whatever fails, on several consumers`()
        async throws
    {
        try await Rig.with { rig in
            let topic = Topic("orders", partitions: 4)
            let history = KeyHistory()
            let subscriptions = (0..<3).map { _ in
                subscription(topic, rig.broker, history, ordered()) { _, _ in
                    if Int.random(in: 0..<4) == 0 { try await Task.sleep(for: .milliseconds(1)) }
                    if Int.random(in: 0..<10) == 0 { throw Hiccup() }
                }
            }
            try await running(subscriptions[0], subscriptions[1], subscriptions[2]) {
                try await eventually("each owns a partition") {
                    let owners = try await rig.owners(of: topic, "a")
                    return !owners.contains("") && Set(owners).count == 3
                }
                try await publish(60, keys: 40, to: topic, on: rig.broker)
                try await eventually("all are handled", within: .seconds(60)) { history.count == 2400 }
                try await eventually("and settled") { try await rig.isSettled(topic, "a") }
            }
            #expect(history.overlaps == 0)
            #expect(history.disorder == [])
            #expect(history.mostAtOnce > 1, "keys run side by side")
            #expect(
                subscriptions.filter { $0.counters[.acknowledged] > 0 }.count > 1, "partitions are shared out"
            )
        }
    }

    @Test(arguments: ["no handler", "older handler"])
    func `a key whose retry nobody can handle any more goes on`(why: String) async throws {
        try await Rig.with { rig in
            let topic = Topic("orders")
            func event(_ id: String, _ type: EventType, version: Int = 1) -> Event {
                Event(
                    id: id, source: "till", type: type, schemaVersion: version, partitionKey: "k", data: "{}")
            }
            for event in [
                event("1", "order.placed", version: 2), event("2", "order.seen"), event("3", "order.seen"),
            ] {
                _ = try await Publisher(to: topic, on: rig.broker).publish(event)
            }
            let tried = Record<String>()
            var patient = ordered()
            patient.retry.base = .milliseconds(100)
            let newer = Subscription(to: topic, group: "a", on: rig.broker, options: patient) {
                On("order.placed") { delivery in
                    tried.add(delivery.event.id)
                    throw Hiccup()
                }
                On("order.seen") { _ in }
            }
            try await running(newer) {
                try await eventually("it waits for its retry") { tried.count > 0 }
            }
            let seen = Record<String>()
            let older = Subscription(to: topic, group: "a", on: rig.broker, options: ordered()) {
                On("order.seen") { seen.add($0.event.id) }
                if why == "older handler" { On("order.placed", newestVersion: 1) { _ in } }
            }
            try await running(older) {
                try await eventually("the key goes on") { seen.all == ["2", "3"] }
            }
            #expect(try await rig.length(rig.keys.invalid("a")) == (why == "older handler" ? 1 : 0))
        }
    }

    @Test func `a slow key holds up no other, however many of its events wait`() async throws {
        try await Rig.with { rig in
            let (history, gate) = (KeyHistory(), Gate())
            let subscription = subscription(.orders, rig.broker, history, ordered(concurrency: 16)) {
                _, delivery in
                if delivery.event.partitionKey == "slow" { await gate.wait() }
            }
            let publisher = Publisher(to: .orders, on: rig.broker)
            let slow = try (0..<500).map {
                try Event(Placed(orderId: "\($0)"), source: "till", id: "slow-\($0)", key: "slow")
            }
            for result in try await publisher.publish(slow) { _ = try result.get() }
            try await running(subscription) {
                try await publish(20, keys: 10, to: .orders, on: rig.broker)
                try await eventually("all others are handled") { history.count == 200 }
                gate.open()
                try await eventually("and then the slow key's") { history.count == 700 }
                try await eventually("and settled") { try await rig.isSettled(.orders, "a") }
            }
            #expect(history.overlaps == 0 && history.disorder == [])
        }
    }

    @Test func `a consumer that stands by takes over from one that died, from where it was`() async throws {
        try await Rig.with { rig in
            let history = KeyHistory()
            let lease = Duration.seconds(1)
            // The first one dies with handlers running, retries put off and events parked.
            let doomed = subscription(.orders, rig.broker, history, ordered(lease)) { order, delivery in
                if delivery.event.partitionKey == "k0", order.orderId == "2" {
                    throw Respond(.retryAfter(.seconds(1)), because: "x")
                }
                if order.orderId == "5" { try await Task.sleep(for: .seconds(3600)) }
            }
            let dying = Task { try await doomed.run() }
            try await publish(20, keys: 4, to: .orders, on: rig.broker)
            try await eventually("it is stuck") { history.count == 2 + 3 * 5 }
            let heir = subscription(.orders, rig.broker, history, ordered(lease))
            try await running(heir) {
                try await publish(5, keys: 4, to: .orders, on: rig.broker, from: 20)
                try await eventually("both have met") {
                    let members = rig.broker.namespace.membersKey("orders", "a")
                    return try await rig.client.send(RedisCommand("HLEN", members)).integer == 2
                }
                #expect(heir.counters[.acknowledged] == 0, "it stands by")
                dying.cancel()
                _ = await dying.result
                let died = ContinuousClock.now
                history.forgetRunning()
                try await eventually("the heir begins") { heir.counters[.acknowledged] > 0 }
                // Less than two leases on a machine of one's own: `soak rebalance` holds it to that.
                #expect(ContinuousClock.now - died < lease * 8)
                try await eventually("all are handled") { history.count == 100 }
                try await eventually("and settled") { try await rig.isSettled(.orders, "a") }
            }
            #expect(history.overlaps == 0 && history.disorder == [])
        }
    }

    @Test func `at shutdown a partition goes on at once, with what was held and not begun`() async throws {
        try await Rig.with { rig in
            let (history, gate) = (KeyHistory(), Gate())
            // So long that only a hand-over in good order is in time.
            let first = subscription(.orders, rig.broker, history, ordered(.seconds(20), concurrency: 8)) {
                _, _ in
                await gate.wait()
            }
            let group = ServiceGroup(configuration: .init(services: [.init(service: first)], logger: quiet))
            try await withThrowingTaskGroup(of: Void.self) { tasks in
                tasks.addTask { try await group.run() }
                try await publish(10, keys: 4, to: .orders, on: rig.broker)
                try await eventually("four run") { history.running == 4 }
                await group.triggerGracefulShutdown()
                gate.open()
                try await tasks.waitForAll()
            }
            #expect((4..<40).contains(first.counters[.acknowledged]))
            let second = subscription(.orders, rig.broker, history, ordered(.seconds(20)))
            try await running(second) {
                try await eventually("the rest", within: .seconds(15)) { history.count == 40 }
                try await eventually("settled") { try await rig.isSettled(.orders, "a") }
            }
            #expect(history.overlaps == 0 && history.disorder == [])
            let pending = try await rig.client.send(.xpending(rig.keys.events, "a"))
            #expect(pending.count == 0)
        }
    }

    @Test func `an owner that knows of its loss acknowledges nothing either`() async throws {
        try await Rig.with { rig in
            let (history, gate, lost) = (KeyHistory(), Gate(), Record<String>())
            var options = ordered(.seconds(4))
            options.observePartition = { _, _, isOwned in if !isOwned { lost.add("lost") } }
            let subscription = subscription(.orders, rig.broker, history, options) { _, _ in await gate.wait()
            }
            try await running(subscription) {
                try await publish(1, keys: 3, to: .orders, on: rig.broker)
                try await eventually("three run") { history.running == 3 }
                try await rig.client.send(
                    RedisCommand("HSET", rig.keys.lease("a"), "owner", "other", "epoch", "9999999999999"))
                try await eventually("it knows") { lost.count == 1 }
                gate.open()
                try await eventually("all three are refused") { subscription.counters[.fenced] == 3 }
            }
            #expect(try await rig.pending("a") == 3)
        }
    }

    @Test func `a subscription that is shut down at any moment gives its partitions back`() async throws {
        try await Rig.with { rig in
            let topic = Topic("orders", partitions: 4)
            for round in 0..<30 {
                try await running(subscription(topic, rig.broker, KeyHistory(), ordered(.seconds(60)))) {
                    try await Task.sleep(for: .milliseconds(Int.random(in: 0...20)))
                }
                #expect(try await rig.owners(of: topic, "a").allSatisfy(\.isEmpty), "round \(round)")
            }
        }
    }

    @Test func `a probe whose partition was lost meanwhile is followed by another`() async throws {
        try await Rig.with { rig in
            let (history, calls) = (KeyHistory(), Record<String>())
            var options = ordered(.seconds(1))
            options.breaker.failures = 2
            options.breaker.pause = .milliseconds(50)
            let subscription = subscription(.orders, rig.broker, history, options) { _, delivery in
                calls.add("")
                if calls.count <= 2 { throw Hiccup() }
                if calls.count == 3, let claim = delivery.claim {
                    throw StaleOwner(topic: "orders", partition: 0, claim: claim, owner: "other")
                }
            }
            try await running(subscription) {
                try await publish(2, keys: 4, to: .orders, on: rig.broker)
                try await eventually("all are handled") { history.count == 8 }
            }
            #expect(history.disorder == [])
        }
    }

    @Test func `a reply that is lost on its way leaves no gap`() async throws {
        try await Rig.with { rig in
            let cutter = try ReplyCutter(at: "\(rig.server.folder)/cutter.sock", to: rig.server.socketPath)
            defer { cutter.stop() }
            let client = RedisClient(try RedisConfiguration(url: "unix://\(cutter.path)"))
            defer { client.close() }
            let history = KeyHistory()
            // So long that nothing comes back by a lease that ran out.
            let subscription = subscription(
                .orders, Broker(client, namespace: "test"), history, ordered(.seconds(120)))
            try await running(subscription) {
                for round in 0..<30 {
                    cutter.cut(after: Int.random(in: 1...3000))
                    try await publish(2, keys: 10, to: .orders, on: rig.broker, from: round * 2)
                    try await eventually("the connections are replaced") { history.count > round * 20 }
                }
                try await eventually("all are handled", within: .seconds(30)) { history.count == 600 }
                try await eventually("and settled") { try await rig.isSettled(.orders, "a") }
            }
            #expect(history.overlaps == 0 && history.disorder == [])
            #expect(subscription.counters[.recovered] > 0, "some replies were lost")
        }
    }

    @Test func `what the server gives to a former owner is taken back, in order`() async throws {
        try await Rig.with { rig in
            let history = KeyHistory()
            let subscription = subscription(.orders, rig.broker, history, ordered(.seconds(120)))
            try await running(subscription) {
                try await publish(1, keys: 2, to: .orders, on: rig.broker)
                try await eventually("it reads") { history.count == 2 }
                // As a process that was frozen while it waited for new events, and now waits longest.
                let frozen = rig.client.dedicated()
                defer { frozen.close() }
                async let stolen = frozen.send(
                    .xreadgroup("a", "frozen", [rig.keys.events], count: 10, block: .seconds(20)))
                // It gets some as soon as it has waited longer than the owner's present read.
                var round = 1
                try await eventually("it is given some") {
                    try await publish(1, keys: 2, to: .orders, on: rig.broker, from: round)
                    round += 1
                    return subscription.counters[.reclaimed] > 0
                }
                #expect(try await !stolen.isEmpty)
                try await publish(3, keys: 2, to: .orders, on: rig.broker, from: round)
                try await eventually("all are handled") { history.count == 2 * (round + 3) }
                try await eventually("and settled") { try await rig.isSettled(.orders, "a") }
            }
            #expect(history.overlaps == 0 && history.disorder == [])
            #expect(subscription.counters[.reclaimed] > 0)
        }
    }

    @Test func `consumers come and go on a cluster, and each key keeps its order`() async throws {
        try await withRedisCluster { nodes in
            let client = RedisClient(try RedisConfiguration(url: nodes.url))
            defer { client.close() }
            let broker = Broker(client, namespace: "test")
            let topic = Topic("orders", partitions: 5)
            let history = KeyHistory()
            func make() -> Subscription {
                subscription(topic, broker, history, ordered()) { _, _ in
                    if Int.random(in: 0..<20) == 0 { throw Hiccup() }
                }
            }
            try await running(make()) {
                try await publish(10, keys: 20, to: topic, on: broker)
                try await running(make()) {
                    try await publish(10, keys: 20, to: topic, on: broker, from: 10)
                    try await eventually("both work") { history.count >= 300 }
                }
                try await publish(10, keys: 20, to: topic, on: broker, from: 20)
                try await eventually("all are handled", within: .seconds(60)) { history.count == 600 }
            }
            #expect(history.overlaps == 0 && history.disorder == [])
        }
    }
}

extension Rig {
    /// Who owns each partition; "" where nobody does.
    func owners(of topic: Topic, _ group: GroupName) async throws -> [String] {
        var owners: [String] = []
        for partition in 0..<topic.partitions {
            let key = broker.keys(topic.name, partition).lease(group)
            owners.append(try await client.send(RedisCommand("HGET", key, "owner")).string ?? "")
        }
        return owners
    }

    func isSettled(_ topic: Topic, _ group: GroupName) async throws -> Bool {
        try await broker.groupReports(topic: topic.name, group: group).allSatisfy(\.isSettled)
    }
}
