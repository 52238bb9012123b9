public import Hiredis

/// Appends events to a topic.
///
/// An event that `publish` has returned for is in the server's memory, or as safe as its `Durability` says. When a connection
/// breaks and nobody knows whether events arrived, the publisher looks for them in the log and adds those that are missing,
/// for as long as it has `patience`; only what is unknown after that comes back as an error with `mayHaveRun`. To publish it again
/// can then add it twice, which an inbox absorbs: `source` and `id` are the same.
///
/// With a tracer, what is published at once has a span, whose context the events carry (`traceparent`).
///
/// As many events may be under way as the client's `maxCommandsInFlight` and `maxBytesInFlight` allow; further calls wait.
public struct Publisher: Sendable {
    /// The topic that events go to.
    public let topic: Topic
    /// How they are published.
    public let options: PublisherOptions
    let broker: Broker
    let state: PublisherState
    /// Nil when nothing is traced.
    let tracing: TopicTracing?

    /// A publisher for this topic. What is declared of the topic is read before the first event, and every half minute.
    public init(to topic: Topic, on broker: Broker, options: PublisherOptions = PublisherOptions()) {
        self.topic = topic
        self.broker = broker
        self.options = options
        state = PublisherState(topic)
        tracing = TopicTracing(broker.tracer, topic: topic.name)
    }

    /// Appends one event; returns where it stands in its partition's log.
    @discardableResult
    public func publish(_ event: Event) async throws(FreshetError) -> StreamID {
        try await publish([event])[0].get()
    }

    /// Appends events in this order, in one pipeline; returns each one's own outcome.
    ///
    /// Events of one partition stand in the log in this order. One event's error does not stop the others; an error of
    /// the connection is thrown and is everyone's. An event that a server refused for a passing reason is not
    /// added behind a later one of its partition: whoever publishes it again does that.
    ///
    /// - Throws: `refused` when the topic has another number of partitions; with `mayHaveRun` when it is unknown what was
    ///   added. An outcome is `full` when the partition's log holds as many events as the topic's limit says, and
    ///   `notDurable` when the event was added and has not survived what it should have in time.
    public func publish(_ events: [Event]) async throws(FreshetError) -> [Result<StreamID, FreshetError>] {
        guard !events.isEmpty else { return [] }
        guard let tracing else { return try await add(events) }
        let spans = PublishSpans(events, to: topic, tracing)
        do throws(FreshetError) {
            let results = try await add(spans.events)
            spans.end(results)
            return results
        } catch {
            spans.end(error)
            throw error
        }
    }

    private func add(_ events: [Event]) async throws(FreshetError) -> [Result<StreamID, FreshetError>] {
        let settings = try await state.settings(of: topic, on: broker)
        let durability = options.durability ?? settings.durability
        let partitions = events.map(partition(of:))
        let results: [Result<StreamID, FreshetError>]
        if settings.limit == nil, durability == .memory {
            results = try await append(events, partitions)
        } else {
            results = try await append(events, partitions, upTo: settings.limit, durability)
        }
        state.note(results, in: partitions)
        return results
    }

    /// The plain way: one pipeline in the order of the events.
    private func append(_ events: [Event], _ partitions: [Int]) async throws(FreshetError)
        -> [Result<StreamID, FreshetError>]
    {
        var pipeline = RedisPipeline()
        pipeline.reserveCapacity(events.reduce(0) { $0 + $1.data.count + 512 })
        for (event, partition) in zip(events, partitions) { append(event, in: partition, to: &pipeline) }
        let bounds = state.newest
        do throws(RedisError) {
            return try await broker.client.send(pipeline).map(Self.result)
        } catch {
            guard error.mayHaveRun, options.patience > .zero else { throw FreshetError(error) }
            return try await addMissing(
                events, partitions, behind: bounds, upTo: nil, .memory, after: error, on: broker.client)
        }
    }

    /// Partition after partition, each with what it waits for.
    private func append(
        _ events: [Event], _ partitions: [Int], upTo limit: Int?, _ durability: Durability
    ) async throws(FreshetError) -> [Result<StreamID, FreshetError>] {
        let client = durability == .memory ? broker.client : state.waitingClient(like: broker.client)
        try await requireFsync(durability, client)
        var results = [Result<StreamID, FreshetError>?](repeating: nil, count: events.count)
        for partition in Set(partitions).sorted() {
            let members = events.indices.filter { partitions[$0] == partition }
            let own = members.map { events[$0] }
            let bounds = state.newest
            var outcomes: [Result<StreamID, FreshetError>]
            do throws(RedisError) {
                if limit == nil {
                    var pipeline = RedisPipeline()
                    for event in own { append(event, in: partition, to: &pipeline) }
                    pipeline.append(durability.confirmation)
                    let replies = try await client.send(pipeline, block: durability.limit)
                    outcomes = replies.prefix(own.count).map(Self.result).lacking(
                        durability.shortfall(replies))
                } else {
                    outcomes = try await add(
                        own, in: partition, upTo: limit, durability, after: nil, on: client)
                }
            } catch {
                guard error.mayHaveRun, options.patience > .zero else { throw FreshetError(error) }
                outcomes = try await addMissing(
                    own, own.map { _ in partition }, behind: bounds, upTo: limit, durability, after: error,
                    on: client)
            }
            for (index, outcome) in zip(members, outcomes) { results[index] = outcome }
        }
        return results.compactMap { $0 }
    }

    func partition(of event: Event) -> Int {
        event.partitionKey.map(topic.partition(ofKey:)) ?? state.nextPartition(of: topic.partitions)
    }

    func full(_ partition: Int, _ limit: Int) -> FreshetError {
        FreshetError(.full, "partition \(partition) of '\(topic.name)' holds \(limit) events, its limit")
    }

    private func append(_ event: Event, in partition: Int, to pipeline: inout RedisPipeline) {
        let key = broker.keys(topic.name, partition).events
        pipeline.appendXADD(key, argumentCount: event.argumentCount) { event.write(to: &$0) }
    }

    private static func result(_ reply: RedisReply) -> Result<StreamID, FreshetError> {
        if let error = reply.error { return .failure(FreshetError(error)) }
        guard let id = reply.streamID else {
            return .failure(FreshetError(RedisError(.unexpectedReply, "XADD gave no id")))
        }
        return .success(id)
    }
}
