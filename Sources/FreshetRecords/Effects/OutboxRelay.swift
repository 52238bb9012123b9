internal import Freshet
internal import Hiredis
internal import Logging
public import ServiceLifecycle
internal import Synchronization

/// Publishes a service's outbox: the rows of a partition in the order of their commits, each at least once.
///
/// Of several processes on one database one relays at a time, by a lease in the database. A process that lost
/// the lease without knowing publishes nothing after the one that has it now: each batch raises its log's
/// high-water mark, and a log takes no batch with a lower one (`OutboxBatch`). A row whose publication may
/// have run is published twice under the same id, which inboxes absorb, and the first occurrences still stand
/// in order.
///
/// A log that takes no events, or not all, holds up no other one: it is left alone for up to a second, and
/// tried again.
///
/// What a log has lost is published again: see `restore`.
public struct OutboxRelay: Service {
    private static let lease = Duration.seconds(2)
    private static let batch = 256
    /// The most bytes of events in one batch, unless one event alone is larger.
    private static let batchBytes = 1 << 20
    /// How long the logs of one batch wait for each other before the next batch goes to those that have
    /// ended.
    private static let patience = Duration.milliseconds(100)

    let database: any Records
    let broker: Broker
    let logger: Logger
    let retention: RecordsRetention
    let logs = RelayedLogs()
    let publishers = Publishers()
    private typealias Job = @Sendable () async -> Void
    private typealias Sending = AsyncStream<Job>.Continuation
    private let owner = EventID.make()
    private let alarm: LoopAlarm
    private let turn = RelayTurn()

    init(_ database: any Records, on broker: Broker, retention: RecordsRetention, logger: Logger) {
        self.database = database
        self.broker = broker
        self.retention = retention
        self.logger = logger
        alarm = LoopAlarm(on: broker.client.loop)
    }

    /// There is something to publish.
    func wake() { alarm.ring() }

    /// What a transaction says that writes to the outbox, for the process that relays; nil when that is this one, or the
    /// database cannot.
    var announcement: RecordsStatement? {
        guard let announcement = database.dialect.announcement else { return nil }
        return turn.isOurs ? nil : announcement
    }

    /// Relays until graceful shutdown or cancellation. What is left then waits in the database.
    public func run() async throws {
        await broker.outboxes.relaying(isEmpty) { await runUntilShutdown() }
    }

    /// Whether nothing waits to be published. A database that does not say so may hold something.
    @Sendable private func isEmpty() async -> Bool {
        do { return try await database.read { try InboxOutbox.newestWaiting(in: $0) } == nil } catch {
            return false
        }
    }

    private func runUntilShutdown() async {
        await withTaskExecutorPreference(broker.client.loop) {
            await withDiscardingTaskGroup { tasks in
                tasks.addTask { await listen() }
                tasks.addTask { await watchLogs() }
                // Batches on their way are no part of what a shutdown cancels.
                let (jobs, sending) = AsyncStream<Job>.makeStream()
                tasks.addTask {
                    await withDiscardingTaskGroup { batches in
                        for await job in jobs { batches.addTask { await job() } }
                    }
                }
                await cancelWhenGracefulShutdown { await relay(sending) }
                // What the last handlers committed leaves now rather than at the next start.
                await drain(sending)
                sending.finish()
                tasks.cancelAll()
            }
        }
    }

    /// Has the database say when other processes write to the outbox.
    private func listen() async {
        while !Task.isCancelled {
            do {
                try await database.listen {
                    turn.isListening = true
                    alarm.ring()
                }
                return
            } catch {
                logger.debug("the database does not say what others write", metadata: ["reason": "\(error)"])
            }
            turn.isListening = false
            try? await Task.sleep(for: .seconds(1))
        }
    }

    private func relay(_ sending: Sending) async {
        var pause = Duration.milliseconds(20)
        var isFailing = false
        var nextPruning = ContinuousClock.now
        while !Task.isCancelled {
            do {
                if try await relayOnce(sending) { continue }
                if isFailing { logger.notice("publishing the outbox again") }
                (isFailing, pause) = (false, .milliseconds(20))
                if nextPruning < .now {
                    nextPruning = .now + .seconds(try await prune() ? 60 : 5)
                }
                if await waitForTurn() { continue }
                // Without a word from the database other processes' commits ring no alarm here. A word can be lost.
                let longest = turn.isListening ? Duration.seconds(1) : .milliseconds(50)
                let resumption = logs.nextResumption.map { $0 - .now } ?? longest
                await alarm.wait(for: max(.milliseconds(1), min(longest, resumption)))
            } catch {
                if Task.isCancelled { return }
                if !isFailing {
                    logger.warning(
                        "cannot publish the outbox, trying again", metadata: ["reason": "\(error)"])
                }
                isFailing = true
                await leaveTurn(for: pause)
                try? await Task.sleep(for: pause)
                pause = min(pause * 2, .seconds(1))
            }
        }
    }

    /// Does not ask, while another process relays: that one is told, or looks. False when there was nothing to wait for.
    private func waitForTurn() async -> Bool {
        var hasWaited = false
        while !Task.isCancelled, let left = turn.refusal {
            await alarm.wait(for: left)
            hasWaited = true
        }
        return hasWaited
    }

    /// Gives the lease back, and does not ask for it again for so long.
    private func leaveTurn(for pause: Duration) async {
        // Also when it has lapsed: to find out that a server is away can take longer than the lease.
        turn.left(for: pause)
        let owner = owner
        try? await database.transaction { try InboxOutbox.leaveLease(owner, in: $0) }
    }

    /// Publishes what waits now, and leaves the rest to others.
    private func drain(_ sending: Sending) async {
        let newest = try? await database.read { try InboxOutbox.newestWaiting(in: $0) }
        while !Task.isCancelled {
            if (try? await relayOnce(sending, upTo: newest ?? .min)) == true { continue }
            guard logs.isAnyOnItsWay else { break }
            await alarm.wait(for: Self.patience)
        }
        if newest != nil { await leaveTurn(for: .zero) }
    }

    /// Marks what was published, takes the next batch and sends it; false when there was nothing to do.
    private func relayOnce(_ sending: Sending, upTo last: Int64 = .max) async throws -> Bool {
        let suspects = logs.takeSuspects()
        if !suspects.isEmpty { try await restore(suspects) }
        let sent = logs.sent
        let unavailable = logs.unavailable(after: sent)
        if sent.isEmpty {
            guard let first = try await firstWaiting(without: unavailable), first <= last else {
                return false
            }
        }
        guard let (lease, rows) = try await next(marking: sent, without: unavailable) else { return false }
        if !sent.isEmpty { Drill.reached(.afterMark) }
        if !sent.isEmpty, rows.isEmpty, !logs.isAnyOnItsWay, sent.allSatisfy(\.hasFailed) {
            // Another process may reach the server.
            await leaveTurn(for: logs.pause(of: sent))
        }
        guard let first = rows.first, first.sequence <= last else { return !sent.isEmpty }
        Drill.reached(.beforePublish)
        let batches = Dictionary(grouping: rows, by: \.log)
        for (log, rows) in batches {
            let (previous, moment) = logs.begin(log)
            sending.yield {
                let batch = OutboxBatch(
                    outbox: lease.outbox, partition: log.partition, mark: lease.mark, previous: previous,
                    events: rows.map { ($0.event, $0.deliverAt) })
                let outcome: Result<OutboxPublication, FreshetError>
                do throws(FreshetError) {
                    outcome = .success(try await publishers[log.topic, on: broker].publish(batch))
                } catch { outcome = .failure(error) }
                logs.ended(
                    SentBatch(log: log, rows: rows, mark: lease.mark, outcome: outcome), sentAt: moment)
                alarm.ring()
            }
        }
        let end = ContinuousClock.now + Self.patience
        while !logs.haveEnded(batches.keys), .now < end, !Task.isCancelled {
            await alarm.wait(for: end - .now)
        }
        Drill.reached(.afterPublish)
        return true
    }

    /// The number of the first event that waits for a log that is none of these. Nothing is looked for again
    /// among what waits for these, which may be much, until something newer is there, or one of them may be
    /// tried again.
    private func firstWaiting(without unavailable: Set<OutboxLog>) async throws -> Int64? {
        guard !unavailable.isEmpty else {
            return try await database.read { try InboxOutbox.firstWaiting(without: [], in: $0) }
        }
        guard let newest = try await database.read({ try InboxOutbox.newestWaiting(in: $0) }),
            logs.isNews(newest, without: unavailable)
        else { return nil }
        let first = try await database.read {
            try InboxOutbox.firstWaiting(without: unavailable, in: $0)
        }
        if first == nil { logs.nothingWaits(through: newest, without: unavailable) }
        return first
    }

    /// Marks what was published and takes the next batch, in one transaction; nil while another process
    /// relays.
    private func next(marking sent: [SentBatch], without unavailable: Set<OutboxLog>) async throws
        -> (RelayLease, [InboxOutbox.Waiting])?
    {
        let dialect = database.dialect
        for batch in sent { judge(batch) }
        let failing = logs.unavailable(after: sent).union(unavailable)
        let taken = try await whileRelaying { transaction, lease in
            if lease.isContinued {
                for batch in sent where !batch.published.isEmpty {
                    try InboxOutbox.mark(batch.published, batch.mark, in: transaction, dialect: dialect)
                    try InboxOutbox.set(batch.mark, of: batch.log, in: transaction)
                }
            }
            return try InboxOutbox.waiting(
                limit: Self.batch, bytes: Self.batchBytes, without: failing, in: transaction)
        }
        guard let (lease, rows) = taken else { return nil }
        if lease.isContinued { logs.release(sent) }
        return (lease, rows)
    }

    /// What becomes of a log whose batch has ended.
    private func judge(_ batch: SentBatch) {
        let metadata: Logger.Metadata = ["log": "\(key(of: batch.log))"]
        let reason: String
        switch batch.outcome {
        case .success(.published(let ids)) where ids.count == batch.rows.count:
            if logs.succeeded(batch.log) {
                logger.notice("publishing the outbox again", metadata: metadata)
            }
            return
        case .success(.published): reason = "the partition is full"
        case .success(.refused(let mark)) where mark >= batch.mark:
            logs.raise(to: mark)
            reason = "the server knows a later batch"
        case .success(.refused):
            logs.suspect([batch.log])
            return
        case .failure(let error): reason = "\(error)"
        }
        guard logs.failed(batch.log) else { return }
        logger.warning(
            "cannot publish the outbox, trying again",
            metadata: metadata.merging(["reason": "\(reason)"]) { $1 })
    }

    /// Runs the body in one transaction with the lease; nil while another process has it.
    func whileRelaying<Value: Sendable>(
        _ body: @escaping @Sendable (any RecordsTransaction, RelayLease) throws -> Value
    ) async throws -> (RelayLease, Value)? {
        let (owner, asked, (expected, floor)) = (owner, ContinuousClock.now, logs.expected)
        let milliseconds = Self.lease.components.seconds * 1000
        let outcome = try await database.transaction { transaction -> Turn<Value> in
            switch try InboxOutbox.holdLease(
                owner, now: .now(), for: milliseconds, above: floor, in: transaction)
            {
            case .refused(let left): return .refused(left)
            case .held(let mark, let outbox):
                let lease = RelayLease(mark: mark, outbox: outbox, isContinued: mark == expected)
                let marks = lease.isContinued ? [:] : try InboxOutbox.marks(in: transaction)
                return .held(lease, marks, try body(transaction, lease))
            }
        }
        switch outcome {
        case .refused(let left):
            logs.refused()
            turn.refused(until: asked + min(.milliseconds(left), Self.lease))
            return nil
        case .held(let lease, let marks, let value):
            turn.taken(until: asked + Self.lease)
            logs.held(lease, marks: marks)
            return (lease, value)
        }
    }

    private enum Turn<Value: Sendable>: Sendable {
        case refused(Int64)
        case held(RelayLease, [OutboxLog: Int64], Value)
    }

    func key(of log: OutboxLog) -> String { broker.keys(log.topic.name, log.partition).events }
}

extension SentBatch {
    /// Nothing of it was published.
    fileprivate var hasFailed: Bool {
        if case .failure = outcome { true } else { false }
    }
}

/// A publisher for each topic, which remembers what is declared of it.
final class Publishers: Sendable {
    private let known = Guarded<[Topic: Publisher]>([:])

    subscript(topic: Topic, on broker: Broker) -> Publisher {
        known.withLock { known in
            if let publisher = known[topic] { return publisher }
            let publisher = Publisher(to: topic, on: broker)
            known[topic] = publisher
            return publisher
        }
    }
}
