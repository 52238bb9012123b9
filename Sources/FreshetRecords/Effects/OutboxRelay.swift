internal import Freshet
internal import Hiredis
internal import Logging
public import ServiceLifecycle
internal import Synchronization

/// Publishes a service's outbox: the rows of a partition in the order of their commits, each at least once.
///
/// Of several processes on one database one relays at a time, by a lease in the database, so that the same row is not
/// published by all of them. The lease is no fence: when it fails, a row is published twice under the same id, which
/// inboxes absorb, and the first occurrences still stand in order, because who publishes a row has published every
/// unmarked row before it.
///
/// What a log has lost is published again: see `restore`.
public struct OutboxRelay: Service {
    private static let lease = Duration.seconds(2)
    private static let batch = 256

    let database: any Records
    let broker: Broker
    let logger: Logger
    let retention: RecordsRetention
    let histories = LogHistories()
    private let owner = EventID.make()
    private let alarm: LoopAlarm
    private let publishers = Publishers()
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
        await withTaskExecutorPreference(broker.client.loop) {
            await withDiscardingTaskGroup { tasks in
                tasks.addTask { await listen() }
                await cancelWhenGracefulShutdown { await relay() }
                // What the last handlers committed leaves now rather than at the next start.
                await drain()
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

    private func relay() async {
        var pause = Duration.milliseconds(20)
        var isFailing = false
        var nextPruning = ContinuousClock.now
        while !Task.isCancelled {
            do {
                if try await relayOnce() { continue }
                if isFailing { logger.notice("publishing the outbox again") }
                (isFailing, pause) = (false, .milliseconds(20))
                try await restoreKnown()
                if nextPruning < .now {
                    try await prune()
                    nextPruning = .now + .seconds(60)
                }
                if await waitForTurn() { continue }
                // Without a word from the database other processes' commits ring no alarm here. A word can be lost.
                await alarm.wait(for: turn.isListening ? .seconds(1) : .milliseconds(50))
            } catch {
                if Task.isCancelled { return }
                if !isFailing {
                    logger.warning(
                        "cannot publish the outbox, trying again", metadata: ["reason": "\(error)"])
                }
                isFailing = true
                // Another process may reach the server.
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
    private func drain() async {
        let newest = try? await database.read { try InboxOutbox.newestWaiting(in: $0) }
        guard let newest else { return }
        while (try? await relayOnce(upTo: newest)) == true {}
        await leaveTurn(for: .zero)
    }

    /// Publishes until nothing is left; false when there was nothing to do.
    private func relayOnce(upTo last: Int64 = .max) async throws -> Bool {
        let first = try await database.read { try InboxOutbox.waiting(limit: 1, in: $0) }.first
        guard let first, first.sequence <= last else { return false }
        var rows = try await next(marking: [])
        guard !rows.isEmpty else { return false }
        while !rows.isEmpty {
            // What a server has lost comes before what follows it.
            if try await restore(Set(rows.map(\.log))) { return true }
            Drill.reached(.beforePublish)
            let (published, failure) = await publish(rows)
            Drill.reached(.afterPublish)
            rows = try await next(marking: published)
            Drill.reached(.afterMark)
            if let failure { throw failure }
            if let row = rows.first, row.sequence > last { break }
        }
        return true
    }

    /// A row that was published, and where it stands in its log; nowhere when it waits for its time.
    private typealias Published = (row: InboxOutbox.Waiting, id: StreamID?)

    /// Marks what was published and takes the next batch, in one transaction; none while another process relays.
    private func next(marking published: [Published]) async throws -> [InboxOutbox.Waiting] {
        let (owner, batch, asked) = (owner, Self.batch, ContinuousClock.now)
        let dialect = database.dialect
        let (refusal, rows) = try await database.transaction {
            transaction -> (Int64, [InboxOutbox.Waiting]) in
            try InboxOutbox.mark(published, in: transaction, dialect: dialect)
            let refusal = try InboxOutbox.holdLease(
                owner, now: .now(), for: Self.lease.components.seconds * 1000, in: transaction)
            return (refusal, refusal == 0 ? try InboxOutbox.waiting(limit: batch, in: transaction) : [])
        }
        if refusal == 0 {
            turn.taken(until: asked + Self.lease)
        } else {
            turn.refused(until: asked + min(.milliseconds(refusal), Self.lease))
        }
        return rows
    }

    /// A partition's rows are published all or none: one that failed between two that did not would come after them.
    private func publish(_ rows: [InboxOutbox.Waiting]) async -> (
        published: [Published], failure: FreshetError?
    ) {
        var (published, failure): ([Published], FreshetError?) = ([], nil)
        for topic in Set(rows.map(\.topic)) {
            let publisher = publishers[topic, on: broker]
            let later = rows.filter { $0.topic == topic && $0.deliverAt != nil }
            if !later.isEmpty {
                do throws(FreshetError) {
                    try await publisher.schedule(later.map { ($0.event, $0.deliverAt ?? .now()) })
                    published += later.map { ($0, nil) }
                } catch { failure = failure ?? error }
            }
            let own = rows.filter { $0.topic == topic && $0.deliverAt == nil }
            for (row, result) in zip(own, await publisher.publishTogether(own.map(\.event))) {
                switch result {
                case .success(let id): published.append((row, id))
                case .failure(let error): failure = failure ?? error
                }
            }
        }
        return (published, failure)
    }
}

/// A publisher for each topic, which remembers what is declared of it.
private final class Publishers: Sendable {
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
