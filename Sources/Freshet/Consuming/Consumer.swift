internal import DequeModule
internal import Hiredis
internal import Logging
internal import Synchronization

/// The engine of a subscription: what is held, what runs, what waits to be settled.
///
/// Its state belongs to the loop's thread (it is an actor on the loop), and handlers run on it unless they go elsewhere:
/// read, handle and acknowledge need no thread hop.
actor Consumer {
    /// Streams of one node, and so of one fate: they are read, settled and kept up by themselves, so that a node that is
    /// away holds up no other. All streams, or in a cluster, where partitions live on different nodes, those of one.
    struct Share {
        let index: Int
        let partitions: Range<Int>
        let streams: [ReadStream]
        /// A connection of its own, because reads block.
        let reader: RedisClient
        /// Rings when there is room for more, and when draining begins.
        let alarm: LoopAlarm
        /// Rings when the upkeep has something to do.
        let upkeepAlarm: LoopAlarm
        /// Rings when deferred entries are wanted again.
        let fetchAlarm: LoopAlarm
    }

    /// What of a share is on its way to be settled, and when its retries are looked at next.
    struct ShareState {
        var settlements: [(entry: HeldEntry, settlement: Settlement)] = []
        var settler: CheckedContinuation<Void, Never>?
        /// How many entries of the share are being settled.
        var settling = 0
        var nextPromotion: ContinuousClock.Instant
        /// Until then it is this consumer that looks for what publishers schedule.
        var watchesUntil: ContinuousClock.Instant
        /// The most entries of a stream that are asked for at a time: fewer after a reply that was too large.
        var mostEntries = 1024
        /// A dead consumer held more than there was room for.
        var hasMoreToReclaim = false
        /// The partitions of the read that is under way.
        var reading: Set<Int> = []
        /// With an order: when it is looked next whether others were given entries, though nothing comes.
        var nextLook: ContinuousClock.Instant
        /// With an order: when what the server holds for this consumer is compared next with what is in hand.
        var nextComparison: ContinuousClock.Instant
        /// The connection through which was read last.
        var connection: UInt64?
        /// The keys whose deferred entries are wanted again.
        var fetches: [KeyQueue] = []
        /// Its reader has ended: what comes now is handed back.
        var hasStopped = false

        init(at now: ContinuousClock.Instant) {
            (nextPromotion, watchesUntil, nextLook, nextComparison) = (now, now, now, now)
        }
    }

    nonisolated let loop: RedisEventLoop
    nonisolated var unownedExecutor: UnownedSerialExecutor {
        unsafe loop.serialExecutor.asUnownedSerialExecutor()
    }

    nonisolated let broker: Broker
    nonisolated let topic: Topic
    nonisolated let group: GroupName
    nonisolated let name: ConsumerName
    nonisolated let options: SubscriptionOptions
    nonisolated let handlers: HandlerTable
    nonisolated let counters: SubscriptionCounters
    nonisolated let metrics: SubscriptionMetrics
    nonisolated let logger: Logger
    /// Nil when nothing is traced.
    nonisolated let tracing: TopicTracing?
    nonisolated let pulse: Pulse
    private nonisolated let start: StartPosition
    nonisolated let shares: [Share]
    /// How many entries are in hand at most, besides those that are being settled.
    nonisolated let capacity: Int
    private nonisolated let draining = Atomic(false)
    /// How many deliveries are in hand, and how many were left in the hands of others because the time was up: for those who
    /// ask when this thread does not answer any more.
    private nonisolated let inHand = Atomic(0)
    private nonisolated let left = Atomic(0)

    /// Everything that is not settled.
    var held = HeldEntries()
    /// Of these, by partition.
    var heldCounts: [Int]
    /// By share.
    var states: [ShareState]
    /// Where the next reclaim begins, by stream.
    var cursors: [ObjectIdentifier: StreamID] = [:]
    var schedule: Schedule
    var lanes = Lanes()
    /// How many deliveries are in handlers.
    var running = 0
    var breaker: CircuitBreaker
    var texts = KnownTexts()
    /// Entries of which the process may die run one at a time.
    var suspectTurn = SuspectTurn()
    /// By partition; none with `.any`.
    var tenures: [Tenure] {
        didSet { metrics.owning(tenures.count { $0.isOwned }) }
    }
    /// With an order: whose partitions are to change hands is told here.
    nonisolated let changes: PartitionChanges?
    var news = PartitionNews()
    /// Rings when the retention is no longer this consumer's business: at its end.
    nonisolated let retentionAlarm: LoopAlarm
    nonisolated let ownershipAlarm: LoopAlarm
    private var readersLeft: Int
    /// Entries of others are on their way into this consumer's hands: whoever settles them must not leave before.
    var takeOvers = 0 {
        didSet { if isFinished { wakeAll() } }
    }
    var failure: FreshetError?
    /// Where the group began on each partition.
    private var starts: [StreamID] = []
    /// When it was made; nil when nobody knows.
    private(set) var groupMade: Timestamp?

    init(
        broker: Broker, topic: Topic, group: GroupName, start: StartPosition, name: ConsumerName,
        options: SubscriptionOptions, handlers: HandlerTable, counters: SubscriptionCounters, logger: Logger
    ) {
        loop = broker.client.loop
        self.broker = broker
        self.topic = topic
        self.group = group
        self.start = start
        self.name = name
        self.options = options
        self.handlers = handlers
        self.counters = counters
        metrics = SubscriptionMetrics(topic: topic.name, group: group)
        self.logger = logger
        tracing = TopicTracing(broker.tracer, topic: topic.name, group: group, consumer: name)
        // While a batch is handled the next one gathers.
        capacity = max(options.concurrency, handlers.largestBatch > 1 ? 2 * handlers.largestBatch : 1)
        var parts = [0..<topic.partitions]
        if case .cluster = broker.client.configuration.servers {
            parts = (0..<topic.partitions).map { $0..<$0 + 1 }
        }
        shares = parts.enumerated().map { [loop] index, partitions in
            Share(
                index: index, partitions: partitions,
                streams: partitions.flatMap { partition in
                    let keys = broker.keys(topic.name, partition)
                    return [
                        ReadStream(key: keys.events, partition: partition, isRedelivery: false),
                        ReadStream(key: keys.redelivery(group), partition: partition, isRedelivery: true),
                    ]
                },
                reader: broker.client.dedicated(
                    clientName: broker.namespace.readerName(group, name.rawValue, topic.name)),
                alarm: LoopAlarm(on: loop), upkeepAlarm: LoopAlarm(on: loop), fetchAlarm: LoopAlarm(on: loop))
        }
        pulse = Pulse(
            readers: shares.count, blocking: options.block,
            timeout: broker.client.configuration.commandTimeout)
        states = shares.map { _ in ShareState(at: broker.clock.now) }
        heldCounts = Array(repeating: 0, count: topic.partitions)
        schedule = Schedule(options.ordering, limits: options.limits, mostWaiting: capacity)
        breaker = CircuitBreaker(options.breaker)
        tenures =
            options.ordering == .perKey
            ? Array(repeating: Tenure(keptUntil: broker.clock.now), count: topic.partitions) : []
        changes =
            options.ordering == .perKey
            ? PartitionChanges(of: group, topic: topic.name, on: broker, for: name) : nil
        ownershipAlarm = LoopAlarm(on: loop)
        retentionAlarm = LoopAlarm(on: loop)
        readersLeft = shares.count
    }

    nonisolated func share(of partition: Int) -> Share { shares[shares.count == 1 ? 0 : partition] }

    nonisolated var clock: DeliveryClock { broker.clock }

    nonisolated var isOrdered: Bool { options.ordering == .perKey }

    nonisolated var isDraining: Bool { draining.load(ordering: .relaxed) }

    /// No more reading from now on. Safe from any thread.
    nonisolated func beginDraining() {
        draining.store(true, ordering: .relaxed)
        for share in shares {
            share.alarm.ring()
            share.upkeepAlarm.ring()
        }
        ownershipAlarm.ring()
        retentionAlarm.ring()
        changes?.close()
    }

    /// How many deliveries this consumer has taken and not settled, once it has ended or will not. Safe from any thread.
    nonisolated var unsettled: Int {
        inHand.load(ordering: .relaxed) + left.load(ordering: .relaxed)
    }

    /// The time was up before these were settled.
    nonisolated func leaveUnsettled(_ count: Int) { left.add(count, ordering: .relaxed) }

    /// All look: there may be nothing left to wait for.
    private func wakeAll() {
        for share in shares {
            share.upkeepAlarm.ring()
            share.fetchAlarm.ring()
            wakeSettler(of: share)
        }
        wakeAllLanes()
        ownershipAlarm.ring()
    }

    // MARK: - Running

    func run() async throws(FreshetError) {
        if let problem = handlers.problem { throw problem }
        try await prepare(shares[0])
        await noteHandlers()
        await withDiscardingTaskGroup { tasks in
            for share in shares {
                tasks.addTask { await self.read(share) }
                tasks.addTask { await self.keepUp(share) }
                tasks.addTask { await self.settleAll(of: share) }
                if isOrdered { tasks.addTask { await self.fetchDeferred(of: share) } }
            }
            if let changes {
                tasks.addTask { await self.keepPartitions() }
                tasks.addTask { await self.heed(changes) }
            }
            tasks.addTask { await self.retain() }
            while let count = await lanesWanted() {
                for _ in 0..<count { tasks.addTask { await self.runLane() } }
            }
        }
        for share in shares { share.reader.close() }
        await withDiscardingTaskGroup { tasks in
            for share in shares { tasks.addTask { await self.leave(share) } }
        }
        if let failure { throw failure }
    }

    /// Makes the group, however long the server takes to come.
    func prepare(_ share: Share) async throws(FreshetError) {
        var pause = Duration.milliseconds(50)
        pulse.group(isThere: false)
        while !isDraining && !Task.isCancelled {
            pulse.beat(share.index)
            do {
                let known = starts
                let made = try await unlessDraining(share) { [self] () throws(FreshetError) in
                    try await broker.ensureGroup(
                        group, of: topic, from: start, ordering: options.ordering, known: known)
                }
                guard let made else { return }
                starts = made
                if groupMade == nil { groupMade = try await broker.groupMade(group, of: topic) }
                pulse.group(isThere: true)
                return
            } catch  where error.isRetryable {
                logger.debug("cannot make the group yet", metadata: ["reason": "\(error)"])
                await share.alarm.wait(for: pause)
                pause = min(pause * 2, .seconds(2))
            }
        }
    }

    /// Does this, or gives it up when draining begins meanwhile (nil): a server that is away would hold up a shutdown for as long as a
    /// command may take. Nobody else may wait for the share's alarm.
    private func unlessDraining<Value: Sendable>(
        _ share: Share, _ work: @escaping @Sendable () async throws(FreshetError) -> Value
    ) async throws(FreshetError) -> Value? {
        let result = await withTaskGroup(of: Result<Value, FreshetError>?.self) { tasks in
            tasks.addTask {
                do throws(FreshetError) { return .success(try await work()) } catch { return .failure(error) }
            }
            tasks.addTask { [self] in
                while !isDraining && !Task.isCancelled { await share.alarm.wait(for: .seconds(60)) }
                return nil
            }
            defer { tasks.cancelAll() }
            return await tasks.next() ?? nil
        }
        return try result?.get()
    }

    /// Says in the topic's hash what the group handles, for those who plan a replay.
    private func noteHandlers() async {
        guard !isDraining else { return }
        do throws(FreshetError) {
            _ = try await unlessDraining(shares[0]) { [self] () throws(FreshetError) in
                try await broker.note(handlers.kinds, of: group, topic: topic.name)
            }
        } catch {
            logger.debug("cannot say which types are handled", metadata: ["reason": "\(error)"])
        }
    }

    /// A share's reader has ended: what of it is in hand and has not started goes to other consumers, at once.
    func readerEnded(_ share: Share) {
        readersLeft -= 1
        states[share.index].hasStopped = true
        for entry in schedule.drop(share.partitions) { handBack(entry) }
        for partition in share.partitions {
            for entry in lanes.takeGathered(of: partition) { handBack(entry) }
        }
        for suspect in suspectTurn.takeWaiting() { suspect.resume() }
        if hasStoppedReading { wakeAll() }
    }

    /// Whether the readers have stopped.
    var hasStoppedReading: Bool { readersLeft == 0 }
    /// Nothing is read any more, nothing is held, and nothing is about to be.
    var isFinished: Bool { hasStoppedReading && held.count == 0 && takeOvers == 0 }

    // MARK: - Holding

    func hold(_ entry: HeldEntry) {
        if isOrdered { entry.claim = tenures[entry.stream.partition].claim }
        options.observeTaken?(entry.content.event)
        held.add(entry)
        inHand.store(held.count, ordering: .relaxed)
        heldCounts[entry.stream.partition] += 1
    }

    /// An entry is not held any more.
    func forget(_ entry: HeldEntry) {
        guard held.remove(entry) else { return }
        inHand.store(held.count, ordering: .relaxed)
        let partition = entry.stream.partition
        heldCounts[partition] -= 1
        if isOrdered, heldCounts[partition] == 0, tenures[partition].phase == .leaving {
            ownershipAlarm.ring()
        }
        if isFinished { wakeAll() }
    }

    /// Without an order, another consumer gets it at once; with one, the next owner of the partition begins with it.
    func handBack(_ entry: HeldEntry) {
        if isOrdered { forget(entry) } else { finish(entry, .released) }
    }

    /// How long what is only courteous may take at the end.
    static let farewell = Duration.seconds(1)

    private func leave(_ share: Share) async {
        guard !Task.isCancelled else { return }
        for stream in share.streams {
            do {
                try await Scripts.leave.run(
                    on: broker.client, keys: [stream.key], arguments: [group.rawValue, name.rawValue],
                    timeout: Self.farewell)
            } catch  where error.isRetryable {
                return  // the server is away, and so is the time of a shutdown
            } catch {}
        }
    }
}
