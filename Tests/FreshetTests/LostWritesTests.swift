import Freshet
import FreshetTesting
import Hiredis
import Synchronization
import Testing

/// A server that comes back without its last writes, as after a failover to a replica that lagged, while its
/// consumers live on: what it holds for them is compared with what they have in hand.
@Suite struct LostWritesTests {
    private struct Hiccup: Error {}

    private func loseLastWrites(_ rig: Rig) async throws {
        await rig.server.kill()
        try await rig.server.start()
    }

    @Test func `what was settled and is pending again is taken up by the same owner`() async throws {
        try await Rig.with(LocalRedisServer()) { rig in
            let (orders, gate) = (NumberedOrders(broker: rig.broker), Gate())
            let subscription = orders.subscription(NumberedOrders.options(.seconds(60))) { _, delivery in
                await gate.wait()
            }
            try await running(subscription) {
                defer { gate.open() }
                try await orders.publish(4, of: NumberedOrders.keys(4))
                try await eventually("all are in hand") { (try? await rig.pending("a")) == 16 }
                try await rig.client.send(RedisCommand("SAVE"))
                gate.open()
                try await eventually("all are settled") { try await rig.pending("a") == 0 }
                try await loseLastWrites(rig)
                try await eventually("settled again, by the same owner", within: .seconds(30)) {
                    try await rig.isSettled(.orders, "a")
                }
                try await orders.publish(1, of: NumberedOrders.keys(4), from: 4)
                try await eventually("its keys go on") { orders.history.count == 20 }
                try await eventually("and all is settled") { try await rig.isSettled(.orders, "a") }
            }
            #expect(subscription.counters[.recovered] > 0)
            #expect(orders.history.overlaps == 0 && orders.history.disorder == [])
        }
    }

    @Test func `no event is lost and no key stays blocked, whenever a server loses its last writes`()
        async throws
    {
        let seed = UInt64.random(in: 0 ... .max)
        print("seed \(seed)")
        var random = Seeded(seed)
        try await Rig.with(LocalRedisServer()) { rig in
            let orders = NumberedOrders(broker: rig.broker)
            let options = NumberedOrders.tightOptions(.seconds(1))
            let subscription = orders.subscription(options) { _, _ in
                if Int.random(in: 0..<10) == 0 { throw Hiccup() }
                if Int.random(in: 0..<3) == 0 { try await Task.sleep(for: .milliseconds(2)) }
            }
            try await orders.publish(150, of: NumberedOrders.keys(12))
            try await running(subscription) {
                for _ in 0..<6 {
                    try await rig.client.send(RedisCommand("SAVE"))
                    try await Task.sleep(for: .milliseconds(Int.random(in: 20...300, using: &random)))
                    try await loseLastWrites(rig)
                    try await Task.sleep(for: .milliseconds(Int.random(in: 0...300, using: &random)))
                }
                try await eventually("all are handled, seed \(seed)", within: .seconds(60)) {
                    orders.history.count == 1800
                }
                try await eventually("and settled, seed \(seed)", within: .seconds(30)) {
                    try await rig.isSettled(.orders, "a")
                }
            }
            #expect(orders.history.overlaps == 0, "seed \(seed)")
            #expect(orders.history.disorder == [], "seed \(seed)")
        }
    }

    @Test func `a retry that outlives its server and fails lets no later event of its key start`()
        async throws
    {
        try await Rig.with(LocalRedisServer()) { rig in
            let orders = NumberedOrders(broker: rig.broker)
            let (gate, calls) = (Gate(), Record<String>())
            let subscription = orders.subscription(NumberedOrders.options(.seconds(60))) { order, delivery in
                guard delivery.event.id == "k0-0" else { return }
                calls.add("")
                if calls.count == 1 { throw Respond(.retryAfter(.seconds(1)), because: "first") }
                if calls.count == 2 {
                    await gate.wait()
                    throw Hiccup()
                }
            }
            try await running(subscription) {
                defer { gate.open() }
                try await orders.publish(3, of: NumberedOrders.keys(2))
                try await eventually("it waits for its retry") {
                    try await rig.client.send(RedisCommand("ZCARD", rig.keys.delayed("a"))).integer == 1
                }
                try await rig.client.send(RedisCommand("SAVE"))
                try await eventually("the retry runs") { calls.count == 2 }
                try await loseLastWrites(rig)
                try await orders.publish(1, of: NumberedOrders.keys(2), from: 3)
                try await eventually("the other key goes on", within: .seconds(30)) {
                    orders.history.count == 4
                }
                gate.open()
                try await eventually("all are handled", within: .seconds(30)) { orders.history.count == 8 }
                try await eventually("and settled") { try await rig.isSettled(.orders, "a") }
            }
            #expect(orders.history.disorder == [])
        }
    }

    @Test func `a server that loses what a consumer has just declared ends no consumer`() async throws {
        try await Rig.with(LocalRedisServer()) { rig in
            try await rig.client.send(RedisCommand("SAVE"))
            let orders = NumberedOrders(broker: rig.broker)
            for round in 0..<8 {
                let consuming = Task { try await orders.subscription(NumberedOrders.options()).run() }
                // Every start loses the server's memory at another of its requests.
                try await Task.sleep(for: .milliseconds(round))
                try await loseLastWrites(rig)
                try await orders.publish(1, of: NumberedOrders.keys(2), from: round)
                try await eventually("it works all the same, round \(round)") {
                    orders.history.count == 2 * (round + 1)
                }
                consuming.cancel()
                _ = await consuming.result
            }
        }
    }

    @Test func `an event that is deleted while its handler fails blocks its key no longer`() async throws {
        try await Rig.with { rig in
            let (orders, gate) = (NumberedOrders(broker: rig.broker), Gate())
            let subscription = orders.subscription(NumberedOrders.options(.seconds(60))) { order, _ in
                guard order.orderId == "0" else { return }
                await gate.wait()
                throw Hiccup()
            }
            try await running(subscription) {
                defer { gate.open() }
                try await orders.publish(3, of: NumberedOrders.keys(1))
                try await eventually("it runs") { orders.history.running == 1 }
                let first = try #require(
                    try await rig.client.send(.xrange(rig.keys.events, .zero ... .newest)).first)
                try await rig.client.send(RedisCommand("XDEL", rig.keys.events, "\(first.id)"))
                gate.open()
                try await eventually("its key goes on") { orders.history.count == 2 }
            }
            #expect(subscription.counters[.lost] == 1)
        }
    }

    @Test func `a retry that was deleted blocks its key no longer`() async throws {
        try await Rig.with { rig in
            let orders = NumberedOrders(broker: rig.broker)
            let subscription = orders.subscription(NumberedOrders.options(.seconds(1))) { order, _ in
                if order.orderId == "0" { throw Respond(.retryAfter(.seconds(3600)), because: "much later") }
            }
            try await running(subscription) {
                try await orders.publish(3, of: NumberedOrders.keys(2))
                try await eventually("both keys wait") {
                    try await rig.client.send(RedisCommand("ZCARD", rig.keys.delayed("a"))).integer == 2
                }
                try await rig.client.send(RedisCommand("ZREMRANGEBYRANK", rig.keys.delayed("a"), 0, 0))
                try await eventually("the one whose retry is gone goes on", within: .seconds(30)) {
                    orders.history.count == 2
                }
            }
            #expect(orders.history.count == 2, "the other one waits")
            #expect(subscription.counters[.lost] == 1)
        }
    }

    @Test func `what is read again after a rewind is delivered, also when a reply is lost`() async throws {
        try await Rig.with { rig in
            let cutter = try ReplyCutter(at: "\(rig.server.folder)/cutter.sock", to: rig.server.socketPath)
            defer { cutter.stop() }
            let client = RedisClient(try RedisConfiguration(url: "unix://\(cutter.path)"))
            defer { client.close() }
            let (orders, calls) = (NumberedOrders(broker: rig.broker), Record<String>())
            let subscription = orders.subscription(
                NumberedOrders.options(.seconds(120)), on: Broker(client, namespace: "test")
            ) { order, _ in calls.add(order.orderId) }
            try await running(subscription) {
                for round in 0..<10 {
                    try await orders.publish(5, of: NumberedOrders.keys(4), from: 5 * round)
                    let (wanted, before) = (20 * (round + 1) + round, calls.count)
                    try await eventually("handled") { orders.history.count == wanted }
                    try await eventually("settled") { try await rig.isSettled(.orders, "a") }
                    cutter.cut(after: Int.random(in: 1...2000))
                    try await rig.client.send(RedisCommand("XGROUP", "SETID", rig.keys.events, "a", "0"))
                    try await orders.publish(1, of: NumberedOrders.keys(1), from: 1000 + round)
                    try await eventually("all are handled again", within: .seconds(60)) {
                        calls.count >= before + wanted && orders.history.count == wanted + 1
                    }
                    try await eventually("and settled", within: .seconds(60)) {
                        try await rig.isSettled(.orders, "a")
                    }
                }
            }
            #expect(orders.history.overlaps == 0)
        }
    }

    @Test func `an entry that leaves the pending list before a suspect's turn holds its key back no longer`()
        async throws
    {
        try await Rig.with { rig in
            // Three owners have died with it.
            let orders = NumberedOrders(broker: rig.broker)
            try await orders.publish(3, of: NumberedOrders.keys(2))
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
            let subscription = orders.subscription(NumberedOrders.options(.seconds(30))) { order, delivery in
                if delivery.position == ids[0] { await gate.wait() }
            }
            try await running(subscription) {
                defer { gate.open() }
                try await eventually("the first suspect runs") { orders.history.running == 1 }
                // The second one waits for its turn, and is settled by somebody else.
                try await rig.client.send(.xack(rig.keys.events, "a", [ids[1]]))
                gate.open()
                try await eventually("both keys go on", within: .seconds(30)) { orders.history.count == 5 }
            }
        }
    }

    @Test func `the last epoch outlives its lease, so that epochs never go down`() async throws {
        try await Rig.with { rig in
            let orders = NumberedOrders(broker: rig.broker)
            let epochs = Mutex<[Int]>([])
            var options = NumberedOrders.options(.seconds(1))
            options.observePartition = { _, epoch, isOwned in
                if isOwned { epochs.withLock { $0.append(epoch) } }
            }
            try await running(orders.subscription(options)) {
                try await eventually("owned") { epochs.withLock { $0.count } == 1 }
            }
            // The lease has expired, and the server's clock was ahead when the last owner took it.
            try await rig.client.send(RedisCommand("DEL", rig.keys.lease("a")))
            let ahead = 9_000_000_000_000
            try await rig.client.send(RedisCommand("HSET", "test:epochs:{orders:0}", "a", ahead))
            try await running(orders.subscription(options)) {
                try await eventually("owned again") { epochs.withLock { $0.count } == 2 }
            }
            #expect(epochs.withLock { $0.last } == ahead + 1)
        }
    }
}
