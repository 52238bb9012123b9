import Freshet
import FreshetTesting
import Hiredis
import ServiceLifecycle
import Synchronization
import Testing

@Suite struct SubscriptionTests {

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
            let seen = Record<String>()
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
            let (gate, started) = (Gate(), Record<String>())
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
            let seen = Record<String>()
            let next = Subscription(to: .orders, group: "a", on: rig.broker) {
                On(Placed.self) { order, delivery in seen.add("\(order.orderId):\(delivery.attempt)") }
            }
            try await running(next) {
                try await eventually("the rest", within: .seconds(20)) { seen.count == 4 }
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
            let seen = Record<String>()
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
