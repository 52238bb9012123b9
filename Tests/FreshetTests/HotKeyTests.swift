import Freshet
import FreshetTesting
import Hiredis
import Synchronization
import Testing

/// `.perKey` with more events of a key than this process remembers.
@Suite struct HotKeyTests {
    private struct Hiccup: Error {}

    /// Limits so low that each is crossed often.
    private func ordered(_ lease: Duration = .seconds(2)) -> SubscriptionOptions {
        var options = options(concurrency: 16, lease: lease, attempts: 12)
        options.ordering = .perKey
        options.retry.base = .milliseconds(20)
        options.retry.ceiling = .milliseconds(100)
        options.breaker.failures = 0
        (options.limits.deferred, options.limits.page, options.limits.waitingPerKey) = (20, 5, 4)
        return options
    }

    /// Publishes numbered events: of each key so many, the keys in turn.
    private func publish(_ keys: [String], _ count: Int, on broker: Broker, from first: Int = 0) async throws
    {
        let publisher = Publisher(to: .orders, on: broker)
        for start in stride(from: first, to: first + count, by: 200) {
            let events = try (start..<min(start + 200, first + count)).flatMap { number in
                try keys.map {
                    try Event(Placed(orderId: "\(number)"), source: "till", id: "\($0)-\(number)", key: $0)
                }
            }
            for result in try await publisher.publish(events) { _ = try result.get() }
        }
    }

    private func subscription(
        _ broker: Broker, _ history: KeyHistory, _ options: SubscriptionOptions,
        _ work: @escaping @Sendable (Placed, Delivery) async throws -> Void
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

    @Test(arguments: ["low limits", "the limits of production"])
    func `a key with any number of events behind a retry holds back itself alone`(limits: String) async throws
    {
        try await Rig.with { rig in
            let isLow = limits == "low limits"
            // Of production's limit for one key twice as many, and the whole of it crossed.
            let count = isLow ? 600 : 25_000
            var options = ordered()
            if !isLow { options.limits = OrderingLimits() }
            let (history, calls) = (KeyHistory(), Record<String>())
            let subscription = subscription(rig.broker, history, options) { order, delivery in
                guard delivery.event.partitionKey == "hot", order.orderId == "0" else { return }
                calls.add("")
                if calls.count == 1 { throw Respond(.retryAfter(.seconds(3)), because: "once") }
            }
            try await publish(["hot"], count, on: rig.broker)
            try await running(subscription) {
                try await eventually("the first one waits for its retry") { calls.count == 1 }
                try await publish(["cold"], 50, on: rig.broker)
                try await eventually("the other key is not held back", within: .seconds(60)) {
                    history.count >= 50
                }
                try await eventually("all are handled", within: .seconds(120)) { history.count == count + 50 }
                try await eventually("and settled", within: .seconds(60)) {
                    try await rig.isSettled(.orders, "a")
                }
            }
            #expect(history.overlaps == 0 && history.disorder == [])
            #expect(calls.count == 2)
        }
    }

    @Test func `keys whose events fail now and then go on, however many wait`() async throws {
        try await Rig.with { rig in
            let history = KeyHistory()
            let subscription = subscription(rig.broker, history, ordered()) { _, _ in
                if Int.random(in: 0..<50) == 0 { throw Hiccup() }
            }
            try await publish(["a", "b", "c"], 700, on: rig.broker)
            try await running(subscription) {
                try await eventually("all are handled", within: .seconds(120)) { history.count == 2100 }
                try await eventually("and settled") { try await rig.isSettled(.orders, "a") }
            }
            #expect(history.overlaps == 0 && history.disorder == [])
        }
    }

    @Test func `slow keys leave the other keys every free handler`() async throws {
        try await Rig.with { rig in
            let (history, gate) = (KeyHistory(), Gate())
            // Eight of sixteen handlers hang, and of each of their keys hundreds wait.
            let slow = (0..<8).map { "slow\($0)" }
            let subscription = subscription(rig.broker, history, ordered()) { _, delivery in
                if delivery.event.partitionKey?.hasPrefix("slow") ?? false { await gate.wait() }
            }
            try await publish(slow, 100, on: rig.broker)
            try await running(subscription) {
                try await eventually("they hang") { history.running == 8 }
                try await publish((0..<40).map { "k\($0)" }, 20, on: rig.broker)
                try await eventually("the others are handled", within: .seconds(60)) { history.count == 800 }
                gate.open()
                try await eventually("and then the slow keys", within: .seconds(60)) { history.count == 1600 }
                try await eventually("and settled") { try await rig.isSettled(.orders, "a") }
            }
            #expect(history.overlaps == 0 && history.disorder == [])
        }
    }

    @Test func `a successor takes over any number of events of a blocked key`() async throws {
        try await Rig.with { rig in
            let history = KeyHistory()
            let doomed = subscription(rig.broker, history, ordered(.seconds(1))) { order, _ in
                if order.orderId == "0" { throw Respond(.retryAfter(.seconds(4)), because: "later") }
                try await Task.sleep(for: .seconds(3600))
            }
            try await publish(["hot"], 500, on: rig.broker)
            let dying = Task { try await doomed.run() }
            try await eventually("all are deferred") { (try? await rig.pending("a")) == 499 }
            dying.cancel()
            _ = await dying.result
            history.forgetRunning()
            let heir = subscription(rig.broker, history, ordered(.seconds(1))) { _, _ in }
            try await running(heir) {
                try await publish(["cold"], 20, on: rig.broker)
                try await eventually("all are handled", within: .seconds(60)) { history.count == 520 }
                try await eventually("and settled") { try await rig.isSettled(.orders, "a") }
            }
            #expect(history.overlaps == 0 && history.disorder == [])
        }
    }

    @Test func `more blocked keys than are remembered pause new events, never the retries`() async throws {
        try await Rig.with { rig in
            let (history, calls) = (KeyHistory(), Record<String>())
            var options = ordered()
            options.limits.keys = 10
            let subscription = subscription(rig.broker, history, options) { order, delivery in
                let name = "\(delivery.event.partitionKey ?? "")-\(order.orderId)"
                defer { calls.add(name) }
                if order.orderId == "0", !calls.all.contains(name) { throw Hiccup() }
            }
            try await publish((0..<100).map { "k\($0)" }, 3, on: rig.broker)
            try await running(subscription) {
                try await eventually("all are handled", within: .seconds(60)) { history.count == 300 }
                try await eventually("and settled") { try await rig.isSettled(.orders, "a") }
            }
            #expect(history.overlaps == 0 && history.disorder == [])
        }
    }
}
