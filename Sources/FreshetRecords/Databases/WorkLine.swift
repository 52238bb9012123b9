internal import Freshet
internal import Hiredis
internal import Synchronization

/// Bodies in line for a database's threads, which take several at once to share a commit.
final class WorkLine: Sendable {
    private struct State {
        var works: [Work] = []
        /// The threads that have nothing to do, by their number.
        var idle: [Int]
    }
    private let state: Guarded<State>

    /// - Parameter servers: how many threads serve the line.
    init(servers: Int) { state = Guarded(State(idle: Array((0..<servers).reversed()))) }

    /// Runs a body through the line; `start` begins to serve it with the thread of that number.
    ///
    /// When the task is cancelled it returns at once with a `CancellationError`: nobody knows then whether the body's effects
    /// are committed.
    func run<Value: Sendable>(
        after first: [RecordsStatement],
        _ body: @escaping @Sendable (any RecordsTransaction, [Int]) throws -> Value,
        start: (Int) -> Void
    ) async throws -> Value {
        let work = BodyWork(after: first, body)
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                guard work.attach(continuation) else { return }
                let server = state.withLock { state in
                    state.works.append(work)
                    return state.idle.popLast()
                }
                if let server { start(server) }
            }
        } onCancel: {
            work.cancel()
        }
    }

    /// The next works; none when the line is empty: this thread is idle then.
    func take(_ server: Int, most: Int) -> [Work] {
        state.withLock { state in
            let batch = Array(state.works.prefix(most))
            if batch.isEmpty { state.idle.append(server) }
            state.works.removeFirst(batch.count)
            return batch
        }
    }
}

/// One body in line. `@unchecked Sendable` because it goes from its caller to one serving thread through the line's lock, and
/// only that thread runs it and touches its failure from then on.
class Work: @unchecked Sendable {
    /// The statements that its transaction begins with.
    let first: [RecordsStatement]
    /// How many rows each of them changed.
    var changes: [Int] = []
    /// Its own failure in a shared transaction that goes on without it.
    var failure: (any Error)?

    init(after first: [RecordsStatement]) { self.first = first }

    /// Runs the body, maybe again.
    func run(_ transaction: any RecordsTransaction) throws {}
    /// Tells the caller how it ended: with this error, with its own, or well.
    func finish(_ error: (any Error)?) {}
    /// Whether the caller does not wait any more.
    var isOver: Bool { false }
}

/// `@unchecked Sendable`, as its parent, because the value is the serving thread's alone and the caller stands behind a lock.
private final class BodyWork<Value: Sendable>: Work, @unchecked Sendable {
    private enum Caller {
        case coming
        case waiting(CheckedContinuation<Value, any Error>)
        case gone
    }
    private let body: @Sendable (any RecordsTransaction, [Int]) throws -> Value
    private var value: Value?
    private let caller = Guarded<Caller>(.coming)

    init(
        after first: [RecordsStatement],
        _ body: @escaping @Sendable (any RecordsTransaction, [Int]) throws -> Value
    ) {
        self.body = body
        super.init(after: first)
    }

    override func run(_ transaction: any RecordsTransaction) throws {
        value = try body(transaction, changes)
    }

    override var isOver: Bool {
        caller.withLock { if case .gone = $0 { true } else { false } }
    }

    /// False when the caller was cancelled before.
    func attach(_ continuation: CheckedContinuation<Value, any Error>) -> Bool {
        let isGone = caller.withLock { caller in
            if case .gone = caller { return true }
            caller = .waiting(continuation)
            return false
        }
        if isGone { continuation.resume(throwing: CancellationError()) }
        return !isGone
    }

    func cancel() { leave()?.resume(throwing: CancellationError()) }

    override func finish(_ error: (any Error)?) {
        guard let continuation = leave() else { return }
        if let error = error ?? failure {
            continuation.resume(throwing: error)
        } else if let value {
            continuation.resume(returning: value)
        } else {
            continuation.resume(throwing: RecordsError(.statement, "the transaction did not run"))
        }
    }

    private func leave() -> CheckedContinuation<Value, any Error>? {
        caller.withLock { caller in
            defer { caller = .gone }
            if case .waiting(let continuation) = caller { return continuation } else { return nil }
        }
    }
}
