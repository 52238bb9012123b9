internal import ArgumentParser
internal import Freshet
internal import FreshetTesting
internal import Hiredis
internal import Logging
internal import ServiceLifecycle
internal import UnixSignals

/// `soak consumer`: one consumer, as the orchestrator starts it.
struct ConsumerCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "consumer", abstract: "One consumer.", shouldDisplay: false)

    @Option var url: String
    @Option var partitions: Int
    @Option var journal: String
    @Option var lease: Double
    @Option var name: String
    @Option var groups: String
    /// Of the handlers, so many in a thousand fail.
    @Option var failures: Int
    /// The longest that a handler takes, in milliseconds.
    @Option var longest: Int
    @Option var concurrency: Int
    /// Deferred ids, entries a page, waiting events a key; production's when there are none.
    @Option var limits: [Int] = []

    func run() async throws {
        let journal = try Journal(at: journal)
        var configuration = try RedisConfiguration(url: url)
        configuration.commandTimeout = .seconds(2)
        let client = RedisClient(configuration)
        defer { client.close() }
        let broker = Broker(client, namespace: "soak")
        let topic = Topic("numbered", partitions: partitions)
        let logger = Logger(label: "soak", factory: { _ in SwiftLogNoOpLogHandler() })
        let subscriptions = groups.split(separator: ",").map { group in
            subscription(to: topic, group: GroupName(unchecked: String(group)), on: broker, journal)
        }
        await withTaskGroup(of: Void.self) { tasks in
            tasks.addTask { await count(subscriptions, journal) }
            let group = ServiceGroup(
                configuration: .init(
                    services: subscriptions.map { .init(service: $0) }, gracefulShutdownSignals: [.sigterm],
                    logger: logger))
            do { try await group.run() } catch { journal.write("X", "\(error)") }
            tasks.cancelAll()
        }
    }

    private func subscription(to topic: Topic, group: GroupName, on broker: Broker, _ journal: Journal)
        -> Subscription
    {
        var options = SubscriptionOptions()
        options.concurrency = concurrency
        options.lease = .seconds(lease)
        options.ordering = group == "keyed" ? .perKey : .any
        options.retry.maximumAttempts = 6
        options.retry.base = .milliseconds(50)
        options.retry.ceiling = .seconds(2)
        options.breaker.failures = 0
        options.maximumDeliveries = 1000
        if limits.count == 3 {
            (options.limits.deferred, options.limits.page) = (limits[0], limits[1])
            options.limits.waitingPerKey = limits[2]
        }
        journal.follow(&options, of: group)
        struct Chance: Error {}
        return Subscription(
            to: topic, group: group, on: broker, consumer: ConsumerName(unchecked: name), options: options
        ) {
            On(EventType(unchecked: Numbered.type)) { delivery in
                let event = delivery.event
                let what = ["\(group)", event.id, event.partitionKey ?? "-", event.data.string]
                journal.write("S", what[0], what[1], what[2], what[3], "\(Journal.now())")
                if what[3] == Numbered.slow { try await Task.sleep(for: .seconds(36_000)) }
                if longest > 0 { try await Task.sleep(for: .milliseconds(Int.random(in: 0...longest))) }
                let fails = Int.random(in: 0..<1000) < failures
                journal.write(fails ? "F" : "E", what[0], what[1], what[2], what[3], "\(Journal.now())")
                if fails { throw Chance() }
            }
        }
    }

    /// Writes the counters down now and then: whoever is killed cannot say them at the end.
    private func count(_ subscriptions: [Subscription], _ journal: Journal) async {
        while !Task.isCancelled {
            try? await Task.sleep(for: .milliseconds(200))
            for subscription in subscriptions {
                for outcome in [Outcome.fenced, .reclaimed, .recovered, .scheduled, .lost, .released]
                where subscription.counters[outcome] > 0 {
                    journal.write(
                        "C", "\(subscription.group)", outcome.rawValue, "\(subscription.counters[outcome])")
                }
            }
        }
    }
}
