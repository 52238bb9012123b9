import Freshet
import FreshetTesting
import Hiredis
import Testing

@Suite struct GroupReportTests {
    private static let keys = PartitionKeys(namespace: "test", topic: "orders", partition: 0)

    @Test func `a namespace without groups has no reports`() async throws {
        try await Rig.with { rig in
            #expect(try await rig.broker.groupReports().isEmpty)
            try await rig.fill(rig.log(), [1])
            #expect(try await rig.broker.groupReports().isEmpty)
            #expect(try await rig.broker.groupReports(topic: "none").isEmpty)
        }
    }

    @Test func `what is to be seen again counts, with and without its group`() async throws {
        try await Rig.with { rig in
            try await rig.fill(rig.log(), 1...5)
            try await rig.redis("XGROUP", "CREATE", rig.log(), "payment", "5-0")
            let redelivery = Self.keys.redelivery("payment")
            try await rig.fill(redelivery, 1...4)
            #expect(try await rig.report().waiting == 4)
            try await rig.redis("XGROUP", "CREATE", redelivery, "payment", "0")
            try await rig.redis("XREADGROUP", "GROUP", "payment", "a", "COUNT", 3, "STREAMS", redelivery, ">")
            let report = try await rig.report()
            #expect(report.waiting == 1)
            #expect(report.pending == 3)
            #expect(report.length == 5)
        }
    }

    @Test func `pending, delayed, dead and invalid are the group's own`() async throws {
        try await Rig.with { rig in
            try await rig.fill(rig.log(), 1...5)
            for group in ["payment", "shipping"] {
                try await rig.redis("XGROUP", "CREATE", rig.log(), group, "0")
            }
            try await rig.redis("XREADGROUP", "GROUP", "payment", "a", "COUNT", 2, "STREAMS", rig.log(), ">")
            try await rig.redis("ZADD", Self.keys.delayed("payment"), 1, "x", 2, "y", 3, "z")
            try await rig.fill(Self.keys.dead("payment"), 1...4)
            try await rig.fill(Self.keys.invalid("payment"), 1...6)
            let payment = try await rig.broker.groupReports(group: "payment")[0]
            #expect((payment.waiting, payment.pending, payment.delayed) == (3, 2, 3))
            #expect((payment.dead, payment.invalid, payment.isSettled) == (4, 6, false))
            let shipping = try await rig.broker.groupReports(topic: "orders", group: "shipping")[0]
            #expect((shipping.waiting, shipping.pending, shipping.delayed) == (5, 0, 0))
            #expect((shipping.dead, shipping.invalid) == (0, 0))
            #expect(try await rig.broker.groupReports().map(\.group) == ["payment", "shipping"])
        }
    }

    @Test func `consumers are listed with what they hold on both streams`() async throws {
        try await Rig.with { rig in
            let redelivery = Self.keys.redelivery("payment")
            for stream in [rig.log(), redelivery] {
                try await rig.fill(stream, 1...5)
                try await rig.redis("XGROUP", "CREATE", stream, "payment", "0")
            }
            try await rig.redis("XREADGROUP", "GROUP", "payment", "b", "COUNT", 2, "STREAMS", rig.log(), ">")
            try await rig.redis("XREADGROUP", "GROUP", "payment", "a", "COUNT", 1, "STREAMS", rig.log(), ">")
            try await rig.redis("XREADGROUP", "GROUP", "payment", "b", "COUNT", 3, "STREAMS", redelivery, ">")
            let report = try await rig.report()
            #expect(report.consumers.map(\.name) == ["a", "b"])
            #expect(report.consumers.map(\.pending) == [1, 5])
            #expect(report.consumers.allSatisfy { (0..<600).contains($0.idleSeconds) })
            #expect(report.pending == 6)
        }
    }

    @Test func `the oldest age is that of an entry nobody took, or took and did not settle`() async throws {
        try await Rig.with { rig in
            let now = Int(try await rig.broker.serverTime().milliseconds)
            try await rig.fill(rig.log(), [now - 1000_000, now - 500_000, now - 100_000])
            try await rig.redis("XGROUP", "CREATE", rig.log(), "payment", "\(now - 500_000)-0")
            func age() async throws -> Double? { try await rig.report().oldestWaitingSeconds }
            #expect((100..<200).contains(try await age() ?? 0))
            try await rig.redis("XREADGROUP", "GROUP", "payment", "a", "STREAMS", rig.log(), ">")
            #expect((100..<200).contains(try await age() ?? 0), "pending")
            let redelivery = Self.keys.redelivery("payment")
            try await rig.fill(redelivery, [now - 300_000])
            #expect((300..<400).contains(try await age() ?? 0), "to be seen again")
            try await rig.redis("DEL", redelivery)
            try await rig.redis("XACK", rig.log(), "payment", "\(now - 100_000)-0")
            #expect(try await age() == nil)
        }
    }

    /// Every handler fails, so no entry ever leaves: at each moment each one is waiting, pending or delayed.
    @Test func `an entry on its way from one state to the next is counted once`() async throws {
        struct Failure: Error {}
        struct Placed: EventPayload {
            static let eventType: EventType = "order.placed"
        }
        try await Rig.with { rig in
            let topic = Topic("orders", partitions: 2)
            let publisher = Publisher(to: topic, on: rig.broker)
            for result in try await publisher.publish((0..<300).map { _ in try Event(Placed(), source: "s") })
            {
                _ = try result.get()
            }
            var options = SubscriptionOptions()
            options.breaker.failures = 0
            options.retry.maximumAttempts = .max
            options.retry.base = .milliseconds(1)
            options.retry.ceiling = .milliseconds(3)
            let subscription = Subscription(to: topic, group: "payment", on: rig.broker, options: options) {
                On(Placed.self) { _, _ in throw Failure() }
            }
            try await running(subscription) {
                try await eventually("all have failed") { subscription.counters[.scheduled] >= 300 }
                for _ in 0..<300 {
                    let report = try await rig.report()
                    #expect(report.waiting + report.pending + report.delayed == 300, "\(report)")
                }
            }
            #expect(subscription.counters[.scheduled] > 600, "the entries were on their way meanwhile")
        }
    }
}
