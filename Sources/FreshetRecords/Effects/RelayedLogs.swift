internal import Freshet
internal import Hiredis
internal import Synchronization

/// One partition's log.
struct OutboxLog: Hashable {
    let topic: Topic
    let partition: Int
}

extension InboxOutbox.Waiting {
    /// Where it goes.
    var log: OutboxLog {
        OutboxLog(topic: topic, partition: Publisher.partition(of: event, in: topic))
    }
}

/// The relay's lease, as a transaction found it.
struct RelayLease: Sendable {
    /// A number that was never given out before.
    let mark: Int64
    /// The outbox's name.
    let outbox: String
    /// Whether no other process held the lease since this one's last transaction: what was published since
    /// can be marked.
    let isContinued: Bool
}

/// A batch that was sent to its log, and how that ended.
struct SentBatch: Sendable {
    let log: OutboxLog
    let rows: [InboxOutbox.Waiting]
    let mark: Int64
    let outcome: Result<OutboxPublication, FreshetError>

    /// The rows that are published, with the positions of those that stand in the log.
    var published: [(row: InboxOutbox.Waiting, id: StreamID?)] {
        guard case .success(.published(let ids)) = outcome else { return [] }
        return Array(zip(rows, ids))
    }
}

/// What a relay knows of its logs: the newest mark of each, which of them a batch is on its way to, and which
/// are left alone for a while because they took none.
final class RelayedLogs: Sendable {
    private struct Log {
        /// The mark of the newest batch that is in the log as far as the database says.
        var mark: Int64 = 0
        var isBusy = false
        /// How often what it lost was restored: a batch from before may be among that.
        var restorations = 0
        var pause = Duration.zero
        var resumes = ContinuousClock.now
    }

    private struct State {
        var logs: [OutboxLog: Log] = [:]
        /// The lease's last number; nil when another process may have held it since.
        var last: Int64?
        /// A mark that a server has and the database never gave out: it went back in time.
        var floor: Int64 = 0
        /// Batches of an earlier tenure of the lease are not marked.
        var tenure = 0
        /// Those that have ended and are not marked.
        var sent: [SentBatch] = []
        var suspects: Set<OutboxLog> = []
        /// Nothing waited up to this number for a log that is none of these.
        var examined: (newest: Int64, without: Set<OutboxLog>)?
        var wholeAt: ContinuousClock.Instant?
    }

    private static let longestPause = Duration.seconds(1)
    private let state = Guarded(State())

    // MARK: - The lease

    /// The number that continues this process's tenure, and the least that the next one may be.
    var expected: (next: Int64?, floor: Int64) {
        state.withLock { state in (state.last.map { max($0, state.floor) + 1 }, state.floor) }
    }

    /// The lease is ours; without continuation the marks are those that the database has.
    func held(_ lease: RelayLease, marks: [OutboxLog: Int64]) {
        state.withLock { state in
            state.last = lease.mark
            guard !lease.isContinued else { return }
            state.tenure += 1
            // The rows may be another's by now.
            for batch in state.sent { state.logs[batch.log]?.isBusy = false }
            state.sent = []
            for log in state.logs.keys { state.logs[log]?.mark = 0 }
            for (log, mark) in marks { state.logs[log, default: Log()].mark = mark }
        }
    }

    /// Another process holds it.
    func refused() { state.withLock { $0.last = nil } }

    // MARK: - Batches

    /// Logs of which nothing is to be taken now, once these batches have been marked.
    func unavailable(after sent: [SentBatch]) -> Set<OutboxLog> {
        let ended = Set(sent.map(\.log))
        let now = ContinuousClock.now
        return state.withLock { state in
            state.suspects.union(
                state.logs.filter { log, known in
                    known.isBusy && !ended.contains(log) || known.resumes > now
                }.keys)
        }
    }

    /// Whether something may wait for a log that is none of these, where this number is the newest of all.
    func isNews(_ newest: Int64, without logs: Set<OutboxLog>) -> Bool {
        state.withLock { state in
            state.examined.map { $0.newest != newest || $0.without != logs } ?? true
        }
    }

    func nothingWaits(through newest: Int64, without logs: Set<OutboxLog>) {
        state.withLock { $0.examined = (newest, logs) }
    }

    /// For how long these are left alone at most.
    func pause(of batches: [SentBatch]) -> Duration {
        state.withLock { state in batches.compactMap { state.logs[$0.log]?.pause }.max() ?? .zero }
    }

    /// When the first of those that are left alone may be tried again.
    var nextResumption: ContinuousClock.Instant? {
        let now = ContinuousClock.now
        return state.withLock { $0.logs.values.map(\.resumes).filter { $0 > now }.min() }
    }

    /// Whether a batch is on its way.
    var isAnyOnItsWay: Bool {
        state.withLock { state in
            state.logs.values.count(where: \.isBusy) > Set(state.sent.map(\.log)).count
        }
    }

    func mark(of log: OutboxLog) -> Int64 { state.withLock { $0.logs[log]?.mark ?? 0 } }

    func set(_ mark: Int64, of log: OutboxLog) {
        state.withLock { $0.logs[log, default: Log()].mark = mark }
    }

    /// A log's mark is about to be raised after a loss. A batch that the log took before, and that is not
    /// marked yet, may be lost as well, and counts as never sent.
    func restoring(_ log: OutboxLog) {
        state.withLock { state in
            var known = state.logs[log, default: Log()]
            known.restorations += 1
            if state.sent.contains(where: { $0.log == log }) { known.isBusy = false }
            state.sent.removeAll { $0.log == log }
            state.logs[log] = known
        }
    }

    /// When a batch was sent.
    struct Moment: Equatable {
        fileprivate let tenure, restorations: Int
    }

    /// A batch is on its way; returns the mark that its log must have.
    func begin(_ log: OutboxLog) -> (previous: Int64, moment: Moment) {
        state.withLock { state in
            var known = state.logs[log, default: Log()]
            known.isBusy = true
            state.logs[log] = known
            return (known.mark, Moment(tenure: state.tenure, restorations: known.restorations))
        }
    }

    /// Whether all of these have ended.
    func haveEnded(_ logs: some Sequence<OutboxLog>) -> Bool {
        state.withLock { state in
            let ended = Set(state.sent.map(\.log))
            return logs.allSatisfy { ended.contains($0) || state.logs[$0]?.isBusy != true }
        }
    }

    /// One that was sent in an earlier tenure, or before a restoration, counts as never sent.
    func ended(_ batch: SentBatch, sentAt moment: Moment) {
        state.withLock { state in
            let restorations = state.logs[batch.log]?.restorations ?? 0
            if moment == Moment(tenure: state.tenure, restorations: restorations) {
                state.sent.append(batch)
            } else {
                state.logs[batch.log]?.isBusy = false
            }
        }
    }

    /// The batches that have ended; they keep their logs busy until `release`.
    var sent: [SentBatch] { state.withLock { $0.sent } }

    /// What was published of these is marked.
    func release(_ batches: [SentBatch]) {
        let released = Set(batches.map(\.log))
        state.withLock { state in
            state.sent.removeAll { released.contains($0.log) }
            for batch in batches {
                state.logs[batch.log]?.isBusy = false
                if !batch.published.isEmpty { state.logs[batch.log]?.mark = batch.mark }
            }
        }
    }

    /// A log took a batch whole; true when it had not before.
    func succeeded(_ log: OutboxLog) -> Bool {
        state.withLock { state in
            defer { state.logs[log]?.pause = .zero }
            return state.logs[log]?.pause ?? .zero > .zero
        }
    }

    /// A log did not take all of a batch, and is left alone for a while; true when it had taken the one
    /// before.
    func failed(_ log: OutboxLog) -> Bool {
        state.withLock { state in
            var known = state.logs[log, default: Log()]
            let isFirst = known.pause == .zero
            known.pause = isFirst ? .milliseconds(20) : min(known.pause * 2, Self.longestPause)
            known.resumes = .now + known.pause
            state.logs[log] = known
            return isFirst
        }
    }

    /// A server has a mark that is higher than any that was given out.
    func raise(to mark: Int64) { state.withLock { $0.floor = max($0.floor, mark) } }

    // MARK: - Losses

    /// A server may have lost something of these.
    func suspect(_ logs: some Sequence<OutboxLog>) { state.withLock { $0.suspects.formUnion(logs) } }

    func takeSuspects() -> Set<OutboxLog> {
        state.withLock { state in
            defer { state.suspects = [] }
            return state.suspects
        }
    }

    /// All logs were looked at, and none lacked anything.
    func areWhole(at moment: ContinuousClock.Instant) { state.withLock { $0.wholeAt = moment } }

    /// Whether that was a moment ago.
    var wereWholeLately: Bool {
        state.withLock { state in
            state.suspects.isEmpty && state.wholeAt.map { $0 + .seconds(15) > .now } ?? false
        }
    }
}
