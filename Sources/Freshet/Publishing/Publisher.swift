internal import Hiredis
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
        for event in events {
            let partition = event.partitionKey.map(topic.partition(ofKey:)) ?? next.take(of: topic.partitions)
            let key = broker.keys(topic.name, partition).events
            pipeline.append(argumentCount: 3 + event.argumentCount) { command in
                command.append("XADD")
                command.append(key)
                command.append("*")
                event.write(to: &command)
            }
        }
        let replies: RedisReplies
        do { replies = try await broker.client.send(pipeline) } catch { throw FreshetError(error) }
        return replies.map { reply in
            if let error = reply.error { return .failure(FreshetError(error)) }
            guard let id = reply.string.flatMap({ StreamID($0) }) else {
                return .failure(FreshetError(RedisError(.unexpectedReply, "XADD gave no id")))
            }
            return .success(id)
        }
    }

    /// Round-robin for events without a key.
    private final class Turn: Sendable {
        private let count = Atomic<Int>(0)
        func take(of partitions: Int) -> Int {
            partitions == 1 ? 0 : count.wrappingAdd(1, ordering: .relaxed).oldValue % partitions
        }
    }
}
