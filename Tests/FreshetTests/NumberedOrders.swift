import Freshet
import FreshetTesting

/// Orders that are numbered within their keys, and subscriptions that note in which order they are handled.
struct NumberedOrders {
    let broker: Broker
    var topic = Topic.orders
    let history = KeyHistory()

    /// With an order, retries that come soon, and no breaker.
    static func options(_ lease: Duration = .seconds(2), concurrency: Int = 8) -> SubscriptionOptions {
        var options = FreshetTests.options(concurrency: concurrency, lease: lease, attempts: 12)
        options.ordering = .perKey
        options.retry.base = .milliseconds(20)
        options.retry.ceiling = .milliseconds(100)
        options.breaker.failures = 0
        return options
    }

    /// The same with limits so low that each is crossed often.
    static func tightOptions(_ lease: Duration = .seconds(2), concurrency: Int = 8) -> SubscriptionOptions {
        var options = options(lease, concurrency: concurrency)
        (options.limits.deferred, options.limits.page, options.limits.waitingPerKey) = (20, 5, 4)
        return options
    }

    /// So many keys: k0, k1, ...
    static func keys(_ count: Int) -> [String] { (0..<count).map { "k\($0)" } }

    /// Publishes so many events of each key, the keys in turn. An event's id is its key and its number.
    func publish(_ count: Int, of keys: [String], from first: Int = 0) async throws {
        let publisher = Publisher(to: topic, on: broker)
        for start in stride(from: first, to: first + count, by: 200) {
            let events = try (start..<min(start + 200, first + count)).flatMap { number in
                try keys.map {
                    try Event(Placed(orderId: "\(number)"), source: "till", id: "\($0)-\(number)", key: $0)
                }
            }
            for result in try await publisher.publish(events) { _ = try result.get() }
        }
    }

    func subscription(
        _ options: SubscriptionOptions, on broker: Broker? = nil,
        _ work: @escaping @Sendable (Placed, Delivery) async throws -> Void = { _, _ in }
    ) -> Subscription {
        Subscription(to: topic, group: "a", on: broker ?? self.broker, options: options) { [history] in
            On(Placed.self) { order, delivery in
                let key = delivery.event.partitionKey ?? ""
                history.begin(key, Int(order.orderId) ?? -1)
                defer { history.end(key) }
                try await work(order, delivery)
                history.done(key, Int(order.orderId) ?? -1)
            }
        }
    }
}
