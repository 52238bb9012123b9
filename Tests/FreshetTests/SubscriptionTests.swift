import Freshet
import FreshetTesting
import Hiredis
import ServiceLifecycle
import Synchronization
import Testing

@Suite struct SubscriptionTests {
    @Test func `each group sees each event once`() async throws {
        try await Rig.with { rig in
            let ids = (0..<300).map(String.init)
            try await rig.place(ids)
            let (a, b) = (Seen(), Seen())
            let first = Subscription(to: .orders, group: "a", on: rig.broker) {
                On(Placed.self) { order, _ in a.add(order.orderId) }
            }
            let second = Subscription(to: .orders, group: "b", on: rig.broker) {
                On(Placed.self) { order, _ in b.add(order.orderId) }
            }
            try await running(first, second) {
                try await eventually("all handled") { a.count == 300 && b.count == 300 }
                try await rig.place(["late"])
                try await eventually("the late one") { a.count == 301 && b.count == 301 }
            }
            #expect(a.all == ids + ["late"])
            #expect(Set(b.all) == Set(ids + ["late"]))
            #expect(try await rig.pending("a") == 0)
            #expect(first.counters[.acknowledged] == 301)
        }
    }

    @Test func `the consumers of a group share the events`() async throws {
        try await Rig.with { rig in
            let seen = Seen()
            let subscriptions = (0..<3).map { _ in
                Subscription(to: .orders, group: "a", on: rig.broker, options: options(concurrency: 4)) {
                    On(Placed.self) { order, _ in
                        try await Task.sleep(for: .milliseconds(1))
                        seen.add(order.orderId)
                    }
                }
            }
            try await running(subscriptions[0], subscriptions[1], subscriptions[2]) {
                try await rig.place((0..<200).map(String.init))
                try await eventually("all handled") { seen.count >= 200 }
            }
            #expect(seen.all.sorted() == (0..<200).map(String.init).sorted())
            #expect(subscriptions.allSatisfy { $0.counters[.acknowledged] > 0 })
        }
    }

    @Test func `a handler that throws gets the event again, and after the last attempt it is a dead letter`()
        async throws
    {
        struct Broken: Error {}
        try await Rig.with { rig in
            let (seen, once) = (Seen(), Seen())
            let subscription = Subscription(
                to: .orders, group: "a", on: rig.broker, options: options(attempts: 3)
            ) {
                On(Placed.self) { order, delivery in
                    seen.add("\(order.orderId):\(delivery.attempt)")
                    if order.orderId == "flaky" && delivery.attempt == 1 { throw Broken() }
                    if order.orderId == "bad" { throw Broken() }
                    once.add(order.orderId)
                }
            }
            try await running(subscription) {
                try await rig.place(["good", "flaky", "bad"])
                try await eventually("the dead letter") { try await rig.length(rig.keys.dead("a")) == 1 }
                try await eventually("the retry") { once.count == 2 }
            }
            #expect(Set(seen.all) == ["good:1", "flaky:1", "flaky:2", "bad:1", "bad:2", "bad:3"])
            let dead = try await rig.entries(rig.keys.dead("a"))[0]
            #expect(dead["id"] == Array("bad".utf8))
            #expect(dead["freshetattempt"] == Array("3".utf8))
            #expect(dead["freshetreason"] == Array("Broken()".utf8))
            #expect(dead["freshetoriginalid"] != nil)
            #expect(try await rig.pending("a") == 0)
            #expect(try await rig.length(rig.keys.redelivery("a")) == 0)
        }
    }

    @Test func `an event of a type without a handler is acknowledged and counted`() async throws {
        try await Rig.with { rig in
            let seen = Seen()
            let subscription = Subscription(to: .orders, group: "a", on: rig.broker) {
                On(Placed.self) { order, _ in seen.add(order.orderId) }
            }
            let other = Event(source: "till", type: "order.seen", data: "{}")
            try await Publisher(to: .orders, on: rig.broker).publish(other)
            try await rig.place(["1"])
            try await running(subscription) { try await eventually("handled") { seen.count == 1 } }
            #expect(subscription.counters[.ignored] == 1)
            #expect(try await rig.length(rig.keys.invalid("a")) == 0)
            #expect(try await rig.pending("a") == 0)
        }
    }

    @Test func `a group begins where it is told`() async throws {
        try await Rig.with { rig in
            try await rig.place(["old"])
            let seen = Seen()
            let subscription = Subscription(to: .orders, group: "a", from: .latest, on: rig.broker) {
                On(Placed.self) { order, _ in seen.add(order.orderId) }
            }
            try await running(subscription) {
                try await eventually("the group is there") {
                    try await rig.client.send(RedisCommand("XINFO", "GROUPS", rig.keys.events)).array?.count
                        == 1
                }
                try await rig.place(["new"])
                try await eventually("handled") { seen.count == 1 }
            }
            #expect(seen.all == ["new"])
        }
    }

    @Test(arguments: ["earliest", "time", "id", "newest id"])
    func `a group's start is the first event it sees`(which: String) async throws {
        try await Rig.with { rig in
            for number in 1...5 {
                try await rig.client.send(
                    RedisCommand(
                        "XADD", rig.keys.events, "\(number)000-1", "specversion", "1.0", "id", "\(number)",
                        "source",
                        "till", "type", "order.placed", "data", "{\"orderId\":\"\(number)\"}"))
            }
            let (start, expected): (StartPosition, [String]) =
                switch which {
                case "earliest": (.earliest, ["1", "2", "3", "4", "5"])
                case "time": (.time(Timestamp(milliseconds: 3000)), ["3", "4", "5"])
                case "id": (.id(StreamID(milliseconds: 4000, sequence: 1)), ["4", "5"])
                default: (.id(StreamID(milliseconds: 5000, sequence: 0)), ["5"])
                }
            let seen = Seen()
            let subscription = Subscription(to: .orders, group: "a", from: start, on: rig.broker) {
                On(Placed.self) { order, _ in seen.add(order.orderId) }
            }
            try await running(subscription) {
                try await eventually("the newest is handled") { seen.all.contains("5") }
                try await eventually("all is settled") { try await rig.pending("a") == 0 }
            }
            #expect(seen.all == expected)
        }
    }

    @Test func `events of a consumer that died are taken over`() async throws {
        try await Rig.with { rig in
            try await rig.place((0..<30).map(String.init))
            try await rig.client.send(RedisCommand("XGROUP", "CREATE", rig.keys.events, "a", "0"))
            try await rig.client.send(
                RedisCommand(
                    "XREADGROUP", "GROUP", "a", "ghost", "COUNT", 30, "STREAMS", rig.keys.events, ">"))
            let seen = Seen()
            let subscription = Subscription(
                to: .orders, group: "a", on: rig.broker,
                options: options(concurrency: 4, lease: .milliseconds(300))
            ) {
                On(Placed.self) { order, _ in seen.add(order.orderId) }
            }
            try await running(subscription) { try await eventually("taken over") { seen.count == 30 } }
            #expect(Set(seen.all) == Set((0..<30).map(String.init)))
            #expect(subscription.counters[.reclaimed] == 30)
            #expect(try await rig.pending("a") == 0)
        }
    }

    @Test func `an event that is delivered again and again and never settled becomes a dead letter`()
        async throws
    {
        try await Rig.with { rig in
            try await rig.place(["killer"])
            try await rig.client.send(RedisCommand("XGROUP", "CREATE", rig.keys.events, "a", "0"))
            try await rig.client.send(
                RedisCommand("XREADGROUP", "GROUP", "a", "ghost", "COUNT", 1, "STREAMS", rig.keys.events, ">")
            )
            let id = try #require(
                try await rig.client.send(RedisCommand("XRANGE", rig.keys.events, "-", "+")).array?[0].array?[
                    0
                ].string)
            try await rig.client.send(
                RedisCommand(
                    "XCLAIM", rig.keys.events, "a", "ghost", 0, id, "RETRYCOUNT", 3, "IDLE", 100_000))
            let seen = Seen()
            let subscription = Subscription(
                to: .orders, group: "a", on: rig.broker,
                options: options(lease: .milliseconds(300), deliveries: 3)
            ) {
                On(Placed.self) { order, _ in seen.add(order.orderId) }
            }
            try await running(subscription) {
                try await eventually("dead") { try await rig.length(rig.keys.dead("a")) == 1 }
            }
            #expect(seen.count == 0)
            let reason = try await rig.entries(rig.keys.dead("a"))[0]["freshetreason"] ?? []
            #expect(String(decoding: reason, as: UTF8.self).contains("never settled"))
        }
    }

    @Test func `a handler may run longer than the lease and is not delivered twice`() async throws {
        try await Rig.with { rig in
            let seen = Seen()
            func make() -> Subscription {
                Subscription(
                    to: .orders, group: "a", on: rig.broker, options: options(lease: .seconds(1))
                ) {
                    On(Placed.self) { order, delivery in
                        seen.add(order.orderId)
                        try await Task.sleep(for: .seconds(3))
                    }
                }
            }
            let (first, second) = (make(), make())
            try await running(first, second) {
                try await rig.place(["slow"])
                try await eventually("done") {
                    first.counters[.acknowledged] + second.counters[.acknowledged] == 1
                }
            }
            #expect(seen.all == ["slow"])
            #expect(first.counters[.fenced] + second.counters[.fenced] == 0)
        }
    }

    @Test func `what was taken and not begun is handed back at shutdown, at once`() async throws {
        try await Rig.with { rig in
            let (gate, started) = (Gate(), Seen())
            let slow = Subscription(
                to: .orders, group: "a", on: rig.broker, options: options(concurrency: 2)
            ) {
                On(Placed.self) { order, _ in
                    started.add(order.orderId)
                    await gate.wait()
                }
            }
            try await rig.place((0..<20).map(String.init))
            try await running(slow) {
                try await eventually("two run") { started.count == 2 }
                gate.open()
            }
            let seen = Seen()
            let next = Subscription(to: .orders, group: "a", on: rig.broker) {
                On(Placed.self) { order, delivery in
                    seen.add(order.orderId)
                    #expect(delivery.attempt == 1)
                }
            }
            try await running(next) {
                try await eventually("the rest", within: .seconds(5)) { started.count + seen.count == 20 }
            }
            #expect(Set(started.all + seen.all) == Set((0..<20).map(String.init)))
            #expect(try await rig.pending("a") == 0)
        }
    }

    @Test func `what waits in the process when it shuts down is handed back and counts no attempt`()
        async throws
    {
        try await Rig.with { rig in
            // Both streams are busy, so one read brings more than there are slots.
            try await rig.place((0..<4).map(String.init))
            for number in 4..<8 {
                try await rig.client.send(
                    RedisCommand(
                        "XADD", rig.keys.redelivery("a"), "*", "specversion", "1.0", "id", "\(number)",
                        "source",
                        "till", "type", "order.placed", "data", "{\"orderId\":\"\(number)\"}"))
            }
            let (gate, started) = (Gate(), Seen())
            let slow = Subscription(to: .orders, group: "a", on: rig.broker, options: options(concurrency: 4))
            {
                On(Placed.self) { order, _ in
                    started.add(order.orderId)
                    await gate.wait()
                }
            }
            let group = ServiceGroup(
                configuration: .init(services: [.init(service: slow)], logger: quiet))
            try await withThrowingTaskGroup(of: Void.self) { tasks in
                tasks.addTask { try await group.run() }
                try await eventually("the slots are full and all is held") {
                    let held = try? await rig.client.send(
                        RedisCommand("XPENDING", rig.keys.redelivery("a"), "a"))
                    return started.count == 4 && held?.array?[0].integer == 4
                }
                await group.triggerGracefulShutdown()
                defer { gate.open() }
                try await eventually("what waits is handed back while the handlers still run") {
                    slow.counters[.released] == 4
                }
                gate.open()
                try await tasks.waitForAll()
            }
            #expect(started.count == 4)
            #expect(slow.counters[.released] == 4 && slow.counters[.acknowledged] == 4)
            let seen = Seen()
            let next = Subscription(to: .orders, group: "a", on: rig.broker) {
                On(Placed.self) { order, delivery in seen.add("\(order.orderId):\(delivery.attempt)") }
            }
            try await running(next) {
                try await eventually("the rest", within: .seconds(5)) { seen.count == 4 }
            }
            let all = started.all + seen.all.map { String($0.dropLast(2)) }
            #expect(Set(all) == Set((0..<8).map(String.init)))
            #expect(seen.all.allSatisfy { $0.hasSuffix(":1") })
            #expect(try await rig.length(rig.keys.redelivery("a")) == 0)
        }
    }

    @Test func `a shutdown while events of others are taken over ends, and leaves them for others`()
        async throws
    {
        try await Rig.with { rig in
            let count = 400
            try await rig.place((0..<count).map(String.init))
            try await rig.client.send(
                RedisCommand("XGROUP", "CREATE", rig.keys.events, "a", "0", "MKSTREAM"))
            // Somebody took them all and died.
            try await rig.client.send(
                RedisCommand(
                    "XREADGROUP", "GROUP", "a", "dead", "COUNT", count, "STREAMS", rig.keys.events, ">"))
            let seen = Seen()
            let deadline = ContinuousClock.now + .seconds(60)
            while Set(seen.all).count < count, ContinuousClock.now < deadline {
                var brief = options(concurrency: 20)
                brief.lease = .milliseconds(60)
                let next = Subscription(to: .orders, group: "a", on: rig.broker, options: brief) {
                    On(Placed.self) { order, _ in seen.add(order.orderId) }
                }
                let group = ServiceGroup(
                    configuration: .init(services: [.init(service: next)], logger: quiet))
                let started = ContinuousClock.now
                try await withThrowingTaskGroup(of: Void.self) { tasks in
                    tasks.addTask { try await group.run() }
                    try await Task.sleep(for: .milliseconds(Int.random(in: 10...120)))
                    await group.triggerGracefulShutdown()
                    try await tasks.waitForAll()
                }
                #expect(ContinuousClock.now - started < .seconds(5))
            }
            #expect(Set(seen.all).count == count)
        }
    }
}
