import Freshet
import FreshetTesting
import Hiredis
import Synchronization
import Testing

/// `.perKey` with more events of a key than this process remembers.
@Suite struct HotKeyTests {
    private struct Hiccup: Error {}

    private func tight(_ lease: Duration = .seconds(2)) -> SubscriptionOptions {
        NumberedOrders.tightOptions(lease, concurrency: 16)
    }

    @Test(arguments: ["low limits", "the limits of production"])
    func `a key with any number of events behind a retry holds back itself alone`(limits: String) async throws
    {
        try await Rig.with { rig in
            let isLow = limits == "low limits"
            // Of production's limit for one key twice as many, and the whole of it crossed.
            let count = isLow ? 600 : 25_000
            var options = tight()
            if !isLow { options.limits = OrderingLimits() }
            let (orders, calls) = (NumberedOrders(broker: rig.broker), Record<String>())
            let subscription = orders.subscription(options) { order, delivery in
                guard delivery.event.partitionKey == "hot", order.orderId == "0" else { return }
                calls.add("")
                if calls.count == 1 { throw Respond(.retryAfter(.seconds(3)), because: "once") }
            }
            try await orders.publish(count, of: ["hot"])
            try await running(subscription) {
                try await eventually("the first one waits for its retry") { calls.count == 1 }
                try await orders.publish(50, of: ["cold"])
                try await eventually("the other key is not held back", within: .seconds(60)) {
                    orders.history.count >= 50
                }
                try await eventually("all are handled", within: .seconds(120)) {
                    orders.history.count == count + 50
                }
                try await eventually("and settled", within: .seconds(60)) {
                    try await rig.isSettled(.orders, "a")
                }
            }
            #expect(orders.history.overlaps == 0 && orders.history.disorder == [])
            #expect(calls.count == 2)
        }
    }

    @Test func `keys whose events fail now and then go on, however many wait`() async throws {
        try await Rig.with { rig in
            let orders = NumberedOrders(broker: rig.broker)
            let subscription = orders.subscription(tight()) { _, _ in
                if Int.random(in: 0..<50) == 0 { throw Hiccup() }
            }
            try await orders.publish(700, of: ["a", "b", "c"])
            try await running(subscription) {
                try await eventually("all are handled", within: .seconds(120)) {
                    orders.history.count == 2100
                }
                try await eventually("and settled") { try await rig.isSettled(.orders, "a") }
            }
            #expect(orders.history.overlaps == 0 && orders.history.disorder == [])
        }
    }

    @Test func `slow keys leave the other keys every free handler`() async throws {
        try await Rig.with { rig in
            let (orders, gate) = (NumberedOrders(broker: rig.broker), Gate())
            // Eight of sixteen handlers hang, and of each of their keys hundreds wait.
            let slow = (0..<8).map { "slow\($0)" }
            let subscription = orders.subscription(tight()) { _, delivery in
                if delivery.event.partitionKey?.hasPrefix("slow") ?? false { await gate.wait() }
            }
            try await orders.publish(100, of: slow)
            try await running(subscription) {
                defer { gate.open() }
                try await eventually("they hang") { orders.history.running == 8 }
                try await orders.publish(20, of: NumberedOrders.keys(40))
                try await eventually("the others are handled", within: .seconds(60)) {
                    orders.history.count == 800
                }
                gate.open()
                try await eventually("and then the slow keys", within: .seconds(60)) {
                    orders.history.count == 1600
                }
                try await eventually("and settled") { try await rig.isSettled(.orders, "a") }
            }
            #expect(orders.history.overlaps == 0 && orders.history.disorder == [])
        }
    }

    @Test func `a successor takes over any number of events of a blocked key`() async throws {
        try await Rig.with { rig in
            let orders = NumberedOrders(broker: rig.broker)
            let doomed = orders.subscription(tight(.seconds(1))) { order, _ in
                if order.orderId == "0" { throw Respond(.retryAfter(.seconds(4)), because: "later") }
                try await Task.sleep(for: .seconds(3600))
            }
            try await orders.publish(500, of: ["hot"])
            let dying = Task { try await doomed.run() }
            try await eventually("all are deferred") { (try? await rig.pending("a")) == 499 }
            dying.cancel()
            _ = await dying.result
            orders.history.forgetRunning()
            let heir = orders.subscription(tight(.seconds(1))) { _, _ in }
            try await running(heir) {
                try await orders.publish(20, of: ["cold"])
                try await eventually("all are handled", within: .seconds(60)) { orders.history.count == 520 }
                try await eventually("and settled") { try await rig.isSettled(.orders, "a") }
            }
            #expect(orders.history.overlaps == 0 && orders.history.disorder == [])
        }
    }

    @Test func `more blocked keys than are remembered pause new events, never the retries`() async throws {
        try await Rig.with { rig in
            let (orders, calls) = (NumberedOrders(broker: rig.broker), Record<String>())
            var options = tight()
            options.limits.keys = 10
            let subscription = orders.subscription(options) { order, delivery in
                let name = "\(delivery.event.partitionKey ?? "")-\(order.orderId)"
                defer { calls.add(name) }
                if order.orderId == "0", !calls.all.contains(name) { throw Hiccup() }
            }
            try await orders.publish(3, of: NumberedOrders.keys(100))
            try await running(subscription) {
                try await eventually("all are handled", within: .seconds(60)) { orders.history.count == 300 }
                try await eventually("and settled") { try await rig.isSettled(.orders, "a") }
            }
            #expect(orders.history.overlaps == 0 && orders.history.disorder == [])
        }
    }
}
