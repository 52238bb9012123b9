import Freshet
import FreshetTesting
import Hiredis
import ServiceLifecycle
import Testing

@Suite struct IdleTests {
    @Test(arguments: [(Ordering.any, 1), (.perKey, 1), (.any, 8), (.perKey, 8)])
    func `ten idle consumers cost the server fewer than 20 commands a second together`(
        ordering: Ordering, partitions: Int
    ) async throws {
        try await Rig.with { rig in
            let topic = Topic("orders", partitions: partitions)
            var options = SubscriptionOptions()
            options.ordering = ordering
            let subscriptions = (0..<10).map { _ in
                Subscription(to: topic, group: "a", on: rig.broker, options: options) {
                    On(Placed.self) { _, _ in }
                }
            }
            let group = ServiceGroup(
                configuration: .init(services: subscriptions.map { .init(service: $0) }, logger: quiet))
            try await withThrowingTaskGroup(of: Void.self) { tasks in
                tasks.addTask { try await group.run() }
                let publisher = Publisher(to: topic, on: rig.broker)
                for number in 0..<50 {
                    try await publisher.publish(
                        Event(Placed(orderId: "\(number)"), source: "t", key: "\(number)"))
                }
                try await eventually("all are there, and idle", within: .seconds(30)) {
                    guard try await rig.isSettled(topic, "a") else { return false }
                    if ordering == .any { return true }
                    return try await rig.shares(of: topic, "a").filter { $0 == 1 }.count == partitions
                }
                // A consumer that waited for a partition looks for others' a last time.
                if ordering == .perKey { try await Task.sleep(for: options.lease / 5) }
                let before = try await rig.commands()
                let seconds = 10
                try await Task.sleep(for: .seconds(seconds))
                let rate = Double(try await rig.commands() - before) / Double(seconds)
                #expect(rate < 20)
                await group.triggerGracefulShutdown()
                try await tasks.waitForAll()
            }
        }
    }
}

extension Rig {
    /// How many partitions each consumer of a group says it owns.
    func shares(of topic: Topic, _ group: GroupName) async throws -> [Int] {
        let key = broker.namespace.membersKey(topic.name, group)
        let members = try await client.send(RedisCommand("HVALS", key)).array?.map { $0.string ?? "" } ?? []
        return members.map { ($0.split(separator: " ").dropFirst().first ?? "").split(separator: ",").count }
    }

    /// How many commands the server has run, those that scripts call among them.
    func commands() async throws -> Int {
        let text = try await client.send(RedisCommand("INFO", "stats")).string ?? ""
        let line = text.split(separator: "\r\n").first { $0.hasPrefix("total_commands_processed:") }
        return line.flatMap { Int($0.split(separator: ":")[1]) } ?? -1
    }
}
