internal import DequeModule
internal import Hiredis
internal import Logging
internal import Synchronization

/// The engine of a subscription: what is held, what runs, what waits to be settled.
///
/// Its state belongs to the loop's thread (it is an actor on the loop), and so do the handlers' tasks unless they go
/// elsewhere: read, handle and acknowledge need no thread hop.
actor Consumer {
    /// An entry in this process that is not settled yet.
    struct Held {
        /// Until then nobody else can have claimed it: counted from before the read or renewal was sent.
        var claimedUntil: ContinuousClock.Instant
    }

    /// Streams of one node, and so of one fate: they are read, settled and kept up by themselves, so that a node that is
    /// away holds up no other. All streams, or in a cluster, where partitions live on different nodes, those of one.
    struct Share {
        let index: Int
        let streams: [ReadStream]
        /// A connection of its own, because reads block.
        let reader: RedisClient
        /// Rings when a slot is free, and when draining begins.
        let alarm: LoopAlarm
        /// Rings when the upkeep has something to do.
        let upkeepAlarm: LoopAlarm
    }

    /// What of a share is on its way to be settled, and when its retries are looked at next.
    struct ShareState {
        var settlements: [(place: Entry.Place, settlement: Settlement)] = []
        var settler: CheckedContinuation<Void, Never>?
        var nextPromotion = ContinuousClock.now
        /// The most entries of a stream that are asked for at a time: fewer after a reply that was too large.
        var mostEntries = 1024
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
    nonisolated let logger: Logger
    private nonisolated let start: StartPosition
    nonisolated let shares: [Share]
    private nonisolated let draining = Atomic(false)

    var held: [Entry.Place: Held] = [:]
    /// By share.
    var states: [ShareState]
    var cursors: [ReadStream: StreamID] = [:]
    private var running = 0
    /// Who waits for a slot: true hands it over, false means that there will be none.
    private var queue: Deque<CheckedContinuation<Bool, Never>> = []
    private var isReading = true
    private var arrived: [Entry] = []
    private var arrival: CheckedContinuation<Void, Never>?
    private var failure: FreshetError?
    /// Where the group began on each partition.
    private var starts: [StreamID] = []

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
        self.logger = logger
        let streams = (0..<topic.partitions).flatMap { partition in
            let keys = broker.keys(topic.name, partition)
            return [
                ReadStream(key: keys.events, partition: partition, isRedelivery: false),
                ReadStream(key: keys.redelivery(group), partition: partition, isRedelivery: true),
            ]
        }
        var parts = [streams]
        if case .cluster = broker.client.configuration.servers {
            parts = Dictionary(grouping: streams, by: \.partition).sorted { $0.key < $1.key }.map(\.value)
        }
        shares = parts.enumerated().map { [loop] index, streams in
            Share(
                index: index, streams: streams,
                reader: broker.client.dedicated(clientName: "\(broker.namespace):\(group):\(name)"),
                alarm: LoopAlarm(on: loop), upkeepAlarm: LoopAlarm(on: loop))
        }
        states = shares.map { _ in ShareState() }
    }

    nonisolated func share(of stream: ReadStream) -> Share {
        shares[shares.count == 1 ? 0 : stream.partition]
    }

    nonisolated var isDraining: Bool { draining.load(ordering: .relaxed) }

    /// No more reading from now on. Safe from any thread.
    nonisolated func beginDraining() {
        draining.store(true, ordering: .relaxed)
        for share in shares {
            share.alarm.ring()
            share.upkeepAlarm.ring()
        }
    }

    // MARK: - Running

    func run() async throws(FreshetError) {
        try await prepare(waitingOn: shares[0].alarm)
        await withDiscardingTaskGroup { tasks in
            tasks.addTask { await self.read() }
            for share in shares {
                tasks.addTask { await self.keepUp(share) }
                tasks.addTask { await self.settleAll(of: share) }
            }
            while let entries = await arrivals() {
                for entry in entries { tasks.addTask { await self.process(entry) } }
            }
        }
        for share in shares { share.reader.close() }
        await withDiscardingTaskGroup { tasks in
            for share in shares { tasks.addTask { await self.leave(share) } }
        }
        if let failure { throw failure }
    }

    /// Makes the group, however long the server takes to come.
    private func prepare(waitingOn alarm: LoopAlarm) async throws(FreshetError) {
        var pause = Duration.milliseconds(50)
        while !isDraining && !Task.isCancelled {
            do {
                starts = try await broker.ensureGroup(group, of: topic, from: start, known: starts)
                return
            } catch  where error.isRetryable {
                logger.debug("cannot make the group yet", metadata: ["reason": "\(error)"])
                await alarm.wait(for: pause)
                pause = min(pause * 2, .seconds(2))
            }
        }
    }

    private func read() async {
        await withDiscardingTaskGroup { tasks in
            for share in shares { tasks.addTask { await self.read(share) } }
        }
        isReading = false
        for share in shares { wakeSettler(of: share) }
        while let waiting = queue.popFirst() { waiting.resume(returning: false) }
        arrival?.resume()
        arrival = nil
    }

    /// One reader's error ends them all.
    private func read(_ share: Share) async {
        do throws(FreshetError) { try await readUntilDraining(share) } catch { failure = error }
        beginDraining()
    }

    private func readUntilDraining(_ share: Share) async throws(FreshetError) {
        var pause = Duration.milliseconds(20)
        var isFailing = false
        while !isDraining && !Task.isCancelled {
            let free = options.concurrency - held.count
            guard free > 0 else {
                await share.alarm.wait(for: .seconds(1))
                continue
            }
            let readAt = ContinuousClock.now
            do throws(RedisError) {
                let entries = try await readBatch(free, share)
                take(entries, readAt: readAt)
                if isFailing { logger.notice("reading again") }
                (isFailing, pause) = (false, .milliseconds(20))
            } catch {
                if error.code == .cancelled || error.code == .closed { return }
                // A stream or group that is gone: 7.0 says UNBLOCKED when it goes while we wait, all say NOGROUP after.
                let isGone = error.serverCode == .noGroup || error.serverCode == .unblocked
                // What a broken reply held is pending, and comes again by being reclaimed.
                let isTooLarge = error.code == .replyTooLarge && askForLess(share)
                guard error.isRetryable || isGone || isTooLarge || error.code == .protocolBroken else {
                    throw FreshetError(error)
                }
                if isGone {
                    logger.warning(
                        "the stream or group is gone, making it again from its start",
                        metadata: ["reason": "\(error)"])
                    try await prepare(waitingOn: share.alarm)
                } else if !isFailing {
                    logger.warning("cannot read, trying again", metadata: ["reason": "\(error)"])
                    isFailing = true
                }
                await share.alarm.wait(for: pause)
                pause = min(pause * 2, .seconds(1))
            }
        }
    }

    /// COUNT holds for each stream, so a read can bring more than there are slots when both streams are busy; the rest
    /// waits here, held and renewed, and the next read waits for it.
    private func readBatch(_ free: Int, _ share: Share) async throws(RedisError) -> [Entry] {
        let read = try await share.reader.send(
            .xreadgroup(
                group.rawValue, name.rawValue, share.streams.map(\.key),
                count: min(free / topic.partitions, states[share.index].mostEntries),
                block: options.block))
        return read.flatMap { key, entries -> [Entry] in
            guard let stream = share.streams.first(where: { $0.key == key }) else { return [] }
            return entries.map { Entry($0, in: stream) }
        }
    }

    /// After a reply that was larger than the client takes; false when a single entry is.
    func askForLess(_ share: Share) -> Bool {
        let most = min(states[share.index].mostEntries, options.concurrency)
        guard most > 1 else { return false }
        states[share.index].mostEntries = most / 2
        logger.warning("a reply was too large, asking for fewer entries", metadata: ["count": "\(most / 2)"])
        return true
    }

    /// Holds these entries and hands them to `run`. One that is held already (claimed back from ourselves after a
    /// freeze) is only renewed.
    func take(_ entries: [Entry], readAt: ContinuousClock.Instant) {
        for entry in entries {
            if held[entry.place] == nil { arrived.append(entry) }
            held[entry.place] = Held(claimedUntil: readAt + options.lease)
        }
        guard !arrived.isEmpty else { return }
        arrival?.resume()
        arrival = nil
    }

    /// What has arrived since the last call, as soon as there is something; nil when nothing will come any more.
    private func arrivals() async -> [Entry]? {
        while arrived.isEmpty {
            guard isReading else { return nil }
            await withCheckedContinuation { continuation in
                if arrived.isEmpty && isReading { arrival = continuation } else { continuation.resume() }
            }
        }
        defer { arrived = [] }
        return arrived
    }

    // MARK: - Slots

    /// Waits for a slot to run a handler in; false when draining began first.
    func acquireSlot() async -> Bool {
        if isDraining { return false }
        if takeFreeSlot() { return true }
        let hasSlot = await withCheckedContinuation { continuation in
            // Asked again here: a task from elsewhere is queued anew at each `await`.
            if isDraining {
                continuation.resume(returning: false)
            } else if takeFreeSlot() {
                continuation.resume(returning: true)
            } else {
                queue.append(continuation)
            }
        }
        guard hasSlot else { return false }
        guard !isDraining else {
            releaseSlot()
            return false
        }
        return true
    }

    private func takeFreeSlot() -> Bool {
        guard running < options.concurrency else { return false }
        running += 1
        return true
    }

    /// The slot goes to the next in line, or is free.
    func releaseSlot() {
        if let next = queue.popFirst() { next.resume(returning: true) } else { running -= 1 }
    }

    /// An entry is not held any more.
    func forget(_ place: Entry.Place) {
        held[place] = nil
        if isReading {
            for share in shares { share.alarm.ring() }
        } else if isFinished {
            for share in shares {
                share.upkeepAlarm.ring()
                wakeSettler(of: share)
            }
        }
    }

    /// Nothing is read any more and nothing is held.
    var isFinished: Bool { !isReading && held.isEmpty }

    /// Wakes a share's reader from its blocking read, so that a shutdown does not wait for it. An ACL may forbid it; then
    /// the read ends by itself after `block`.
    func wakeReader(of share: Share) async {
        if isReading { await broker.client.unblock(share.reader) }
    }

    /// Whether the reader has stopped reading.
    var hasStoppedReading: Bool { !isReading }

    private func leave(_ share: Share) async {
        guard !Task.isCancelled else { return }
        for stream in share.streams {
            do {
                try await Scripts.leave.run(
                    on: broker.client, keys: [stream.key], arguments: [group.rawValue, name.rawValue])
            } catch  where error.isRetryable {
                return  // the server is away, and so is the time of a shutdown
            } catch {}
        }
    }
}
