internal import ArgumentParser
internal import Freshet
internal import FreshetTesting
internal import Glibc
internal import Hiredis
internal import Logging
internal import ServiceLifecycle
internal import Synchronization
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
    /// Of the groups with an order whose names begin with "tight", or of all: deferred ids, entries a page,
    /// waiting events a key; production's when there are none.
    @Option var limits: [Int] = []
    /// One handler in so many takes three leases.
    @Option var hang = 0
    /// While this file exists all handlers fail.
    @Option var storm: String?

    /// Pages of the pending list that were searched, by all subscriptions of the process.
    private static let searches = Atomic(0)

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
        options.ordering = ["keyed", "tight", "batched"].contains(group) ? .perKey : .any
        options.retry.maximumAttempts = 6
        options.retry.base = .milliseconds(50)
        options.retry.ceiling = .seconds(2)
        options.breaker.failures = storm == nil ? 0 : 20
        options.breaker.ceiling = .seconds(1)
        options.maximumDeliveries = 1000
        if limits.count == 3, storm == nil || group == "tight" {
            (options.limits.deferred, options.limits.page) = (limits[0], limits[1])
            options.limits.waitingPerKey = limits[2]
        }
        journal.follow(&options, of: group)
        options.observeSearch = { Self.searches.add(1, ordering: .relaxed) }
        return Subscription(
            to: topic, group: group, on: broker, consumer: ConsumerName(unchecked: name), options: options
        ) {
            if group == "batched" {
                OnBatch(NumberedPayload.self, upTo: 4, within: .milliseconds(2)) { events in
                    for event in events { try await handle(event.delivery.event, group, journal) }
                }
            } else {
                On(EventType(unchecked: Numbered.type)) { try await handle($0.event, group, journal) }
            }
        }
    }

    private func handle(_ event: Event, _ group: GroupName, _ journal: Journal) async throws {
        struct Chance: Error {}
        let what = ["\(group)", event.id, event.partitionKey ?? "-", event.data.string]
        journal.write("S", what[0], what[1], what[2], what[3], "\(Journal.now())")
        if what[3] == Numbered.slow { try await Task.sleep(for: .seconds(36_000)) }
        if longest > 0 { try await Task.sleep(for: .milliseconds(Int.random(in: 0...longest))) }
        if hang > 0, Int.random(in: 0..<hang) == 0 {
            journal.write("H", what[0], what[1])
            try await Task.sleep(for: .seconds(lease * 3))
        }
        let isStormy = storm.map { unsafe access($0, F_OK) == 0 } ?? false
        // Some events fail so often that they become dead letters.
        let isPoor = storm != nil && event.data.string.hasSuffix("77")
        let fails = isStormy || Int.random(in: 0..<1000) < (isPoor ? 700 : failures)
        journal.write(fails ? "F" : "E", what[0], what[1], what[2], what[3], "\(Journal.now())")
        if fails { throw Chance() }
    }

    /// Writes the counters down now and then: whoever is killed cannot say them at the end.
    private func count(_ subscriptions: [Subscription], _ journal: Journal) async {
        while !Task.isCancelled {
            try? await Task.sleep(for: .milliseconds(200))
            let searched = Self.searches.load(ordering: .relaxed)
            if searched > 0 { journal.write("C", "all", "searches", "\(searched)") }
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

/// A number, as a batch decodes it.
struct NumberedPayload: EventPayload {
    static let eventType = EventType(unchecked: Numbered.type)
    let number: Int

    init(from decoder: any Decoder) throws { number = try decoder.singleValueContainer().decode(Int.self) }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(number)
    }
}
