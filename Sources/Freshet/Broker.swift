public import Hiredis
public import Tracing

/// Where events are kept: a server, and the namespace that everything of this system stands under.
public struct Broker: Sendable {
    /// The connection that everything shares, except reads that block.
    public let client: RedisClient
    /// What every key begins with.
    public let namespace: Namespace
    /// Gets the spans of publishing, handling and settling; nil when there are none.
    let tracer: (any Tracer)?
    /// What waiting goes by.
    package let clock: DeliveryClock
    /// The outboxes that this process publishes here.
    package let outboxes = RelayedOutboxes()

    /// The events of this namespace on this server.
    ///
    /// - Parameter tracer: gets the spans of publishing, handling and settling; nil is the one that the program has bootstrapped before,
    ///   if it has.
    public init(_ client: RedisClient, namespace: Namespace = "freshet", tracer: (any Tracer)? = nil) {
        self.init(client, namespace: namespace, clock: .system, tracer: tracer)
    }

    package init(
        _ client: RedisClient, namespace: Namespace, clock: DeliveryClock, tracer: (any Tracer)? = nil
    ) {
        let known = tracer ?? InstrumentationSystem.tracer
        self.tracer = known is NoOpTracer ? nil : known
        self.client = client
        self.namespace = namespace
        self.clock = clock
    }

    /// The keys of one partition.
    public func keys(_ topic: TopicName, _ partition: Int) -> PartitionKeys {
        PartitionKeys(namespace: namespace, topic: topic, partition: partition)
    }

    package func send<Answer>(_ command: RedisCommand<Answer>) async throws(FreshetError) -> Answer {
        do { return try await client.send(command) } catch { throw FreshetError(error) }
    }

    package func run(_ script: RedisScript, keys: [String], _ arguments: any RedisArgument...)
        async throws(FreshetError)
        -> RedisReply
    {
        do {
            return try await script.run(on: client, keys: keys, arguments: arguments)
        } catch { throw FreshetError(error) }
    }
}
