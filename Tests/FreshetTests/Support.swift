import Freshet
import FreshetTesting
import Hiredis
import Logging
import ServiceLifecycle
import Synchronization
import Testing

struct Placed: EventPayload, Equatable {
    static let eventType: EventType = "order.placed"
    let orderId: String
}

extension Topic {
    static let orders = Topic("orders")
}

/// A server, a client and a broker of one test.
struct Rig {
    let server: LocalRedisServer
    let broker: Broker
    var client: RedisClient { broker.client }
    var keys: PartitionKeys { broker.keys("orders", 0) }

    static func with(
        _ server: LocalRedisServer = LocalRedisServer(appendOnly: true), _ body: (Rig) async throws -> Void
    ) async throws {
        try await withRedisServer(server) { server in
            var configuration = try RedisConfiguration(url: server.url)
            configuration.commandTimeout = .seconds(2)
            let client = RedisClient(configuration)
            defer { client.close() }
            try await body(Rig(server: server, broker: Broker(client, namespace: "test")))
        }
    }

    /// Publishes orders with these ids.
    func place(_ ids: [String]) async throws {
        let publisher = Publisher(to: .orders, on: broker)
        let events = try ids.map { try Event(Placed(orderId: $0), source: "till", id: $0, key: $0) }
        for result in try await publisher.publish(events) { _ = try result.get() }
    }

    func length(_ key: String) async throws -> Int {
        try await client.send(RedisCommand("XLEN", key)).integer ?? -1
    }

    func pending(_ group: String) async throws -> Int {
        try await client.send(RedisCommand("XPENDING", keys.events, group)).array?[0].integer ?? -1
    }

    /// The fields of a stream's entries as text.
    func entries(_ key: String) async throws -> [[String: [UInt8]]] {
        let reply = try await client.send(RedisCommand("XRANGE", key, "-", "+"))
        return (reply.array.map(Array.init) ?? []).map { entry in
            let fields = entry.array?[1].array.map(Array.init) ?? []
            return Dictionary(
                stride(from: 0, to: fields.count, by: 2).map {
                    (fields[$0].string ?? "", fields[$0 + 1].bytes?.array ?? [])
                }, uniquingKeysWith: { first, _ in first })
        }
    }
}

let quiet = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })

func options(
    concurrency: Int = 8, lease: Duration = .seconds(10), attempts: Int = 3, deliveries: Int = 10
) -> SubscriptionOptions {
    var options = SubscriptionOptions()
    options.concurrency = concurrency
    options.lease = lease
    options.retry.maximumAttempts = attempts
    options.retry.base = .milliseconds(5)
    options.maximumDeliveries = deliveries
    return options
}
