internal import Hiredis
internal import Metrics
internal import Synchronization

/// What a publisher knows of its topic.
final class PublisherState: Sendable {
    /// What is declared of the topic.
    struct Settings {
        var durability = Durability.memory
        var limit: Int?
        /// Whether old events are cut off.
        var isTrimmed = false
    }

    private struct Contents {
        var settings: Settings?
        var readAt: ContinuousClock.Instant?
        /// The newest entry of each partition that is known of: what is published from now on stands behind it.
        var newest: [StreamID]
        /// A connection of its own for what waits for replicas or disks: everything behind it waits as well.
        var waiting: RedisClient?
    }

    private let contents: Guarded<Contents>
    private let count = Atomic<Int>(0)
    /// To swift-metrics: events that the server confirmed.
    private let published: Counter

    init(_ topic: Topic) {
        contents = Guarded(Contents(newest: Array(repeating: .zero, count: topic.partitions)))
        published = Counter(label: "freshet_published_total", dimensions: [("topic", topic.name.rawValue)])
    }

    /// A partition for an event without a key: one after the other.
    func nextPartition(of partitions: Int) -> Int {
        partitions == 1 ? 0 : count.wrappingAdd(1, ordering: .relaxed).oldValue % partitions
    }

    /// Of each partition an entry behind which everything stands that is published from now on.
    var newest: [StreamID] { contents.withLock { $0.newest } }

    /// What has just been added.
    func note(_ results: [Result<StreamID, FreshetError>], in partitions: [Int]) {
        let count = contents.withLock { contents in
            var count = 0
            for (partition, result) in zip(partitions, results) {
                if case .success(let id) = result {
                    contents.newest[partition] = max(contents.newest[partition], id)
                    count += 1
                }
            }
            return count
        }
        confirmed(count)
    }

    /// So many events have been published, or are kept for later.
    func confirmed(_ count: Int) {
        if count > 0 { published.increment(by: count) }
    }

    func waitingClient(like client: RedisClient) -> RedisClient {
        contents.withLock { contents in
            if let waiting = contents.waiting { return waiting }
            let waiting = client.dedicated()
            contents.waiting = waiting
            return waiting
        }
    }

    /// What is declared, read before the first event and again every half minute, which nobody waits for: the server may
    /// be away.
    ///
    /// A topic that nobody subscribes to has no consumers that trim it: then its publishers do, as often.
    func settings(of topic: Topic, on broker: Broker) async throws(FreshetError) -> Settings {
        let (known, isStale) = contents.withLock { contents in
            guard let known = contents.settings else { return (Settings?.none, false) }
            let now = broker.clock.now
            let isStale = contents.readAt.map { $0 + .seconds(30) < now } ?? true
            if isStale { contents.readAt = now }
            return (known, isStale)
        }
        guard let known else { return try await read(topic, broker) }
        if isStale {
            Task {
                guard try await self.read(topic, broker).isTrimmed else { return }
                _ = try await broker.enforceRetention(
                    of: topic, on: Array(0..<topic.partitions), whileUnread: true)
            }
        }
        return known
    }

    @discardableResult
    private func read(_ topic: Topic, _ broker: Broker) async throws(FreshetError) -> Settings {
        let key = broker.namespace.topicKey(topic.name)
        var question = RedisPipeline()
        question.append(
            "HMGET", key, "partitions", "durability", "limit", "retention.age", "retention.count",
            "retention.bytes")
        // In a cluster a command without a key goes with the one before it, and not to a node that may be
        // away.
        question.append("TIME")
        let (fields, time): ([RedisReply], [Int])
        do {
            let replies = try await broker.client.send(question)
            fields = try replies[0].get().array.map(Array.init) ?? []
            time = try replies[1].get().array?.compactMap(\.integer) ?? []
        } catch { throw FreshetError(error) }
        guard fields.count == 6, time.count == 2 else {
            throw FreshetError(RedisError(.unexpectedReply, "a topic's declaration of another shape"))
        }
        if let partitions = fields[0].integer, partitions != topic.partitions {
            throw FreshetError(
                .refused,
                "the topic '\(topic.name)' has \(partitions) partitions, and this program says \(topic.partitions)"
            )
        }
        var settings = Settings()
        settings.durability = fields[1].string.flatMap { Durability($0) } ?? .memory
        settings.limit = fields[2].integer
        settings.isTrimmed = fields[3...].contains { !$0.isNull }
        // Where an event can stand that is published from now on, were the clocks of the nodes so far apart.
        let earliest = Int64(time[0]) * 1000 - 60_000
        let bound = StreamID(milliseconds: UInt64(clamping: earliest), sequence: 0)
        let result = settings
        contents.withLock { contents in
            if contents.settings == nil { contents.newest = contents.newest.map { max($0, bound) } }
            contents.settings = result
            contents.readAt = broker.clock.now
        }
        return result
    }
}
