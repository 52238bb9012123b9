public import Hiredis
internal import Synchronization

/// Appends events to a topic.
///
/// An event that `publish` has returned for is in the server's memory. After an error with `mayHaveRun` it may be there
/// as well: publishing the same event again can then add it twice, which an inbox absorbs, since `source` and `id` are
/// the same.
public struct Publisher: Sendable {
    /// The topic that events go to.
    public let topic: Topic
    private let broker: Broker
    private let next = Turn()

    /// A publisher for this topic.
    public init(to topic: Topic, on broker: Broker) {
        self.topic = topic
        self.broker = broker
    }

    /// Appends one event; returns where it stands in its partition's log.
    @discardableResult
    public func publish(_ event: Event) async throws(FreshetError) -> StreamID {
        try await publish([event])[0].get()
    }

    /// Appends events in this order, in one pipeline; returns each one's own outcome.
    ///
    /// Events of one partition stand in the log in this order. One event's error does not stop the others; an error of
    /// the connection is thrown and is everyone's.
    public func publish(_ events: [Event]) async throws(FreshetError) -> [Result<StreamID, FreshetError>] {
        guard !events.isEmpty else { return [] }
        var pipeline = RedisPipeline()
        pipeline.reserveCapacity(events.reduce(0) { $0 + $1.data.count + 512 })
        for event in events { append(event, in: partition(of: event), to: &pipeline) }
        let replies: RedisReplies
        do { replies = try await broker.client.send(pipeline) } catch { throw FreshetError(error) }
        return replies.map(Self.result)
    }

    /// Appends events in this order; those of one partition all stand in its log at once, or none does (MULTI).
    ///
    /// - Returns: each one's own outcome, the same error for all of a partition.
    package func publishTogether(_ events: [Event]) async -> [Result<StreamID, FreshetError>] {
        let partitions = events.map(partition(of:))
        var results = [Result<StreamID, FreshetError>?](repeating: nil, count: events.count)
        for partition in Set(partitions) {
            let members = events.indices.filter { partitions[$0] == partition }
            var pipeline = RedisPipeline()
            pipeline.append("MULTI")
            for index in members { append(events[index], in: partition, to: &pipeline) }
            pipeline.append("EXEC")
            do throws(RedisError) {
                let replies = try await broker.client.send(pipeline)
                // What was refused while it was queued says more than the EXECABORT at the end.
                if let refused = replies.lazy.compactMap(\.error).first { throw refused }
                guard let ids = replies[members.count + 1].array, ids.count == members.count else {
                    throw RedisError(.unexpectedReply, "EXEC gave no list of ids")
                }
                for (index, reply) in zip(members, ids) { results[index] = Self.result(reply) }
            } catch {
                for index in members { results[index] = .failure(FreshetError(error)) }
            }
        }
        return results.compactMap { $0 }
    }

    private func partition(of event: Event) -> Int {
        event.partitionKey.map(topic.partition(ofKey:)) ?? next.take(of: topic.partitions)
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

    /// Round-robin for events without a key.
    private final class Turn: Sendable {
        private let count = Atomic<Int>(0)
        func take(of partitions: Int) -> Int {
            partitions == 1 ? 0 : count.wrappingAdd(1, ordering: .relaxed).oldValue % partitions
        }
    }
}
