import Freshet
import FreshetTesting
import Hiredis
import Synchronization
import Testing

/// A server that comes back without its last writes, as after a failover to a replica that lagged, while its consumers live on: what
/// it holds for them is compared with what they have in hand.
@Suite struct LostWritesTests {
    private struct Hiccup: Error {}

    private func ordered(_ lease: Duration = .seconds(2)) -> SubscriptionOptions {
        var options = options(concurrency: 8, lease: lease, attempts: 8)
        options.ordering = .perKey
        options.retry.ceiling = .milliseconds(40)
        options.breaker.failures = 0
        return options
    }

    private func publish(_ count: Int, keys: Int, on broker: Broker, from first: Int = 0) async throws {
        let publisher = Publisher(to: .orders, on: broker)
        let events = try (first * keys..<(first + count) * keys).map { number in
            let key = "k\(number % keys)"
            return try Event(
                Placed(orderId: "\(number / keys)"), source: "till", id: "\(key)-\(number / keys)", key: key)
        }
        for result in try await publisher.publish(events) { _ = try result.get() }
    }

    private func subscription(
        _ broker: Broker, _ history: KeyHistory, _ options: SubscriptionOptions,
        _ work: @escaping @Sendable (Placed, Delivery) async throws -> Void = { _, _ in }
    ) -> Subscription {
        Subscription(to: .orders, group: "a", on: broker, options: options) {
            On(Placed.self) { order, delivery in
                let key = delivery.event.partitionKey ?? ""
                history.begin(key, Int(order.orderId) ?? -1)
                defer { history.end(key) }
                try await work(order, delivery)
                history.done(key, Int(order.orderId) ?? -1)
            }
        }
    }

    private func loseLastWrites(_ rig: Rig) async throws {
        await rig.server.kill()
        try await rig.server.start()
    }

    @Test func `what was settled and is pending again is taken up by the same owner`() async throws {
        try await Rig.with(LocalRedisServer()) { rig in
            let (history, gate) = (KeyHistory(), Gate())
            let subscription = subscription(rig.broker, history, ordered(.seconds(60))) { _, delivery in
                await gate.wait()
            }
            try await running(subscription) {
                try await publish(4, keys: 4, on: rig.broker)
                try await eventually("all are in hand") { (try? await rig.pending("a")) == 16 }
                try await rig.client.send(RedisCommand("SAVE"))
                gate.open()
                try await eventually("all are settled") { try await rig.pending("a") == 0 }
                try await loseLastWrites(rig)
                try await eventually("settled again, by the same owner", within: .seconds(30)) {
                    try await rig.isSettled(.orders, "a")
                }
                try await publish(1, keys: 4, on: rig.broker, from: 4)
                try await eventually("its keys go on") { history.count == 20 }
                try await eventually("and all is settled") { try await rig.isSettled(.orders, "a") }
            }
            #expect(subscription.counters[.recovered] > 0)
            #expect(history.overlaps == 0 && history.disorder == [])
        }
    }

    @Test func `no event is lost and no key stays blocked, whenever a server loses its last writes`()
        async throws
    {
        let seed = UInt64.random(in: 0 ... .max)
        print("seed \(seed)")
        var random = Seeded(seed)
        try await Rig.with(LocalRedisServer()) { rig in
            let history = KeyHistory()
            var options = ordered(.seconds(1))
            (options.limits.deferred, options.limits.page, options.limits.waitingPerKey) = (20, 5, 4)
            let subscription = subscription(rig.broker, history, options) { _, _ in
                if Int.random(in: 0..<10) == 0 { throw Hiccup() }
                if Int.random(in: 0..<3) == 0 { try await Task.sleep(for: .milliseconds(2)) }
            }
            try await publish(150, keys: 12, on: rig.broker)
            try await running(subscription) {
                for _ in 0..<6 {
                    try await rig.client.send(RedisCommand("SAVE"))
                    try await Task.sleep(for: .milliseconds(Int.random(in: 20...300, using: &random)))
                    try await loseLastWrites(rig)
                    try await Task.sleep(for: .milliseconds(Int.random(in: 0...300, using: &random)))
                }
                try await eventually("all are handled, seed \(seed)", within: .seconds(90)) {
                    history.count == 1800
                }
                try await eventually("and settled, seed \(seed)", within: .seconds(30)) {
                    try await rig.isSettled(.orders, "a")
                }
            }
            #expect(history.overlaps == 0, "seed \(seed)")
            #expect(history.disorder == [], "seed \(seed)")
        }
    }

    @Test func `a retry that outlives its server and fails lets no later event of its key start`()
        async throws
    {
        try await Rig.with(LocalRedisServer()) { rig in
            let (history, gate, calls) = (KeyHistory(), Gate(), Record<String>())
            let subscription = subscription(rig.broker, history, ordered(.seconds(60))) { order, delivery in
                guard delivery.event.id == "k0-0" else { return }
                calls.add("")
                if calls.count == 1 { throw Respond(.retryAfter(.seconds(1)), because: "first") }
                if calls.count == 2 {
                    await gate.wait()
                    throw Hiccup()
                }
            }
            try await running(subscription) {
                try await publish(3, keys: 2, on: rig.broker)
                try await eventually("it waits for its retry") {
                    try await rig.client.send(RedisCommand("ZCARD", rig.keys.delayed("a"))).integer == 1
                }
                try await rig.client.send(RedisCommand("SAVE"))
                try await eventually("the retry runs") { calls.count == 2 }
                try await loseLastWrites(rig)
                try await publish(1, keys: 2, on: rig.broker, from: 3)
                try await eventually("the other key goes on", within: .seconds(30)) { history.count == 4 }
                gate.open()
                try await eventually("all are handled", within: .seconds(30)) { history.count == 8 }
                try await eventually("and settled") { try await rig.isSettled(.orders, "a") }
            }
            #expect(history.disorder == [])
        }
    }

    @Test func `an event that is deleted while its handler fails blocks its key no longer`() async throws {
        try await Rig.with { rig in
            let (history, gate) = (KeyHistory(), Gate())
            let subscription = subscription(rig.broker, history, ordered(.seconds(60))) { order, _ in
                guard order.orderId == "0" else { return }
                await gate.wait()
                throw Hiccup()
            }
            try await running(subscription) {
                try await publish(3, keys: 1, on: rig.broker)
                try await eventually("it runs") { history.running == 1 }
                let first = try #require(
                    try await rig.client.send(.xrange(rig.keys.events, .zero ... .newest)).first)
                try await rig.client.send(RedisCommand("XDEL", rig.keys.events, "\(first.id)"))
                gate.open()
                try await eventually("its key goes on") { history.count == 2 }
            }
            #expect(subscription.counters[.lost] == 1)
        }
    }

    @Test func `a retry that was deleted blocks its key no longer`() async throws {
        try await Rig.with { rig in
            let history = KeyHistory()
            let subscription = subscription(rig.broker, history, ordered(.seconds(1))) { order, _ in
                if order.orderId == "0" { throw Respond(.retryAfter(.seconds(3600)), because: "much later") }
            }
            try await running(subscription) {
                try await publish(3, keys: 2, on: rig.broker)
                try await eventually("both keys wait") {
                    try await rig.client.send(RedisCommand("ZCARD", rig.keys.delayed("a"))).integer == 2
                }
                try await rig.client.send(RedisCommand("ZREMRANGEBYRANK", rig.keys.delayed("a"), 0, 0))
                try await eventually("the one whose retry is gone goes on", within: .seconds(30)) {
                    history.count == 2
                }
            }
            #expect(history.count == 2, "the other one waits")
            #expect(subscription.counters[.lost] == 1)
        }
    }

    @Test func `what is read again after a rewind is delivered, also when a reply is lost`() async throws {
        try await Rig.with { rig in
            let cutter = try ReplyCutter(at: "\(rig.server.folder)/cutter.sock", to: rig.server.socketPath)
            defer { cutter.stop() }
            let client = RedisClient(try RedisConfiguration(url: "unix://\(cutter.path)"))
            defer { client.close() }
            let (history, calls) = (KeyHistory(), Record<String>())
            let subscription = subscription(
                Broker(client, namespace: "test"), history, ordered(.seconds(120))
            ) { order, _ in calls.add(order.orderId) }
            try await running(subscription) {
                for round in 0..<10 {
                    try await publish(5, keys: 4, on: rig.broker, from: 5 * round)
                    let (wanted, before) = (20 * (round + 1) + round, calls.count)
                    try await eventually("handled") { history.count == wanted }
                    try await eventually("settled") { try await rig.isSettled(.orders, "a") }
                    cutter.cut(after: Int.random(in: 1...2000))
                    try await rig.client.send(RedisCommand("XGROUP", "SETID", rig.keys.events, "a", "0"))
                    try await publish(1, keys: 1, on: rig.broker, from: 1000 + round)
                    try await eventually("all are handled again", within: .seconds(60)) {
                        calls.count >= before + wanted && history.count == wanted + 1
                    }
                    try await eventually("and settled", within: .seconds(60)) {
                        try await rig.isSettled(.orders, "a")
                    }
                }
            }
            #expect(history.overlaps == 0)
        }
    }

    @Test func `an entry that leaves the pending list before a suspect's turn holds its key back no longer`()
        async throws
    {
        try await Rig.with { rig in
            // Three owners have died with it.
            let history = KeyHistory()
            try await publish(3, keys: 2, on: rig.broker)
            try await rig.client.send(
                RedisCommand("XGROUP", "CREATE", rig.keys.events, "a", "0"))
            let dead = try await rig.client.send(
                .xreadgroup("a", "dead", [rig.keys.events], count: 2))
            let ids = dead.flatMap { $0.entries.map(\.id) }
            for id in ids {
                try await rig.client.send(
                    RedisCommand(
                        "XCLAIM", rig.keys.events, "a", "dead", 0, id, "RETRYCOUNT", 5, "JUSTID"))
            }
            let gate = Gate()
            let subscription = subscription(rig.broker, history, ordered(.seconds(30))) { order, delivery in
                if delivery.position == ids[0] { await gate.wait() }
            }
            try await running(subscription) {
                try await eventually("the first suspect runs") { history.running == 1 }
                // The second one waits for its turn, and is settled by somebody else.
                try await rig.client.send(.xack(rig.keys.events, "a", [ids[1]]))
                gate.open()
                try await eventually("both keys go on", within: .seconds(30)) { history.count == 5 }
            }
        }
    }

    @Test func `the last epoch outlives its lease, so that epochs never go down`() async throws {
        try await Rig.with { rig in
            let epochs = Mutex<[Int]>([])
            var options = ordered(.seconds(1))
            options.observePartition = { _, epoch, isOwned in
                if isOwned { epochs.withLock { $0.append(epoch) } }
            }
            try await running(subscription(rig.broker, KeyHistory(), options)) {
                try await eventually("owned") { epochs.withLock { $0.count } == 1 }
            }
            // The lease has expired, and the server's clock was ahead when the last owner took it.
            try await rig.client.send(RedisCommand("DEL", rig.keys.lease("a")))
            let ahead = 9_000_000_000_000
            try await rig.client.send(RedisCommand("HSET", "test:epochs:{orders:0}", "a", ahead))
            try await running(subscription(rig.broker, KeyHistory(), options)) {
                try await eventually("owned again") { epochs.withLock { $0.count } == 2 }
            }
            #expect(epochs.withLock { $0.last } == ahead + 1)
        }
    }
}
