public import Freshet
internal import Hiredis
internal import Synchronization

/// A broker of its own for a test, in this process, under a clock that stands still until it is moved: no server, no sleep.
///
///     let memory = try InMemoryBroker()
///     let payments = Subscription(to: .orders, group: "payment", on: memory.broker) { On(OrderPlaced.self, handler: charge) }
///     try await running(payments) {
///         try await Publisher(to: .orders, on: memory.broker).publish(order)
///         try await memory.settled("payment", of: .orders)      // the handler failed: it is to be retried
///         await memory.advance(by: .seconds(30))
///         try await memory.settled("payment", of: .orders)      // the retry
///     }
///
/// It takes the same commands and runs the same scripts as a server, in memory; `Conformance` holds for it as for every
/// server. Leases, pauses, delays and the ids of entries go by its clock, what only bounds waiting for the network by the
/// machine's. There is no database, no cluster and no password.
public final class InMemoryBroker: Sendable {
    /// Where publishers and subscriptions are made.
    public let broker: Broker
    private let server: MemoryServer
    private let start: Timestamp
    private let elapsed = Elapsed()

    /// An empty broker, which ends with this object.
    ///
    /// - Parameter start: what its clock says.
    public init(namespace: Namespace = "freshet", startingAt start: Timestamp = .now()) throws {
        self.start = start
        server = try MemoryServer(startingAt: start)
        let client = RedisClient(RedisConfiguration(address: .unix(path: server.path)))
        broker = Broker(client, namespace: namespace, clock: .standing())
    }

    deinit {
        broker.client.close()
        server.stop()
    }

    /// The URL of this broker, for programs that are given one. They go by the machine's clock.
    public var url: String { "unix://\(server.path)" }

    /// What the clock says.
    public var now: Timestamp {
        Timestamp(milliseconds: start.milliseconds + Int64(elapsed.milliseconds))
    }

    /// Lets so much time pass. What is due on the way is done at its moment: claims are renewed, retries come back, leases of
    /// those who do not run expire. When it returns, handlers may still be busy with what came due: see `settled`.
    public func advance(by duration: Duration) async {
        await broker.clock.advance(by: duration) { [server, elapsed] step in
            let milliseconds = elapsed.add(step)
            await server.ask { $0.now += milliseconds }
        }
    }

    /// Steps the server's clock alone, as an operator or a time service does to a machine's: consumers notice
    /// nothing of it.
    ///
    /// - Parameter duration: negative to set the clock back.
    package func stepServerClock(by duration: Duration) async {
        let milliseconds = Int(duration.components.seconds) * 1000
        await server.ask { $0.now += milliseconds }
    }

    /// Waits until the group has settled all that it can at this moment of the clock: only retries whose time has not come
    /// are left. What its handlers published through an outbox whose relay runs on this broker is in its log
    /// then.
    ///
    /// - Throws: `NotInTime` when it has not within the limit, by the machine's clock.
    public func settled(_ group: GroupName, of topic: Topic, within limit: Duration = .seconds(10))
        async throws
    {
        try await eventually("'\(group)' has settled '\(topic.name)'", within: limit) {
            // An event's follow-ups are in the outbox before it is acknowledged, and can be events of this
            // topic.
            guard await hasSettled(group, topic), await broker.outboxes.areEmpty() else { return false }
            return await hasSettled(group, topic)
        }
    }

    private func hasSettled(_ group: GroupName, _ topic: Topic) async -> Bool {
        let broker = broker
        return await server.ask { store in
            (0..<topic.partitions).allSatisfy { partition in
                let keys = broker.keys(topic.name, partition)
                let isDone = [keys.events, keys.redelivery(group)].allSatisfy { key in
                    guard let stream = store.existingStream(key), let group = stream.groups[group.rawValue]
                    else { return false }
                    return group.order.isEmpty && stream.waiting(for: group) == 0
                }
                let due = store.sortedSet(keys.delayed(group))?.elements.first?.score ?? .infinity
                return isDone && Double(store.now) < due
            }
        }
    }
}

/// How far the clock has been moved.
private final class Elapsed: Sendable {
    private let duration = Guarded(Duration.zero)

    var milliseconds: Int { duration.withLock { Self.milliseconds($0) } }

    /// Returns by how many milliseconds more it is now.
    func add(_ step: Duration) -> Int {
        duration.withLock { duration in
            let before = Self.milliseconds(duration)
            duration += step
            return Self.milliseconds(duration) - before
        }
    }

    private static func milliseconds(_ duration: Duration) -> Int {
        Int(duration.components.seconds) * 1000 + Int(duration.components.attoseconds / 1_000_000_000_000_000)
    }
}
