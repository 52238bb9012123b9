internal import Dispatch
internal import Hiredis
internal import Synchronization

/// A transaction that stays open while its owner does other things, such as asking a server. The database's own thread waits
/// meanwhile, and not for long: whoever else wants to write waits too.
package final class OpenTransaction: Sendable {
    private enum Job {
        case run(@Sendable (any RecordsTransaction) -> Void)
        case commit
        case rollBack(any Error)
    }
    private struct State {
        var jobs: [Job] = []
        var hasBegun = false
        var failure: (any Error)?
    }
    /// It was left open for too long.
    struct Stalled: Error {}

    private static let patience = DispatchTimeInterval.seconds(20)
    private let state = Guarded(State())
    private let bell = DispatchSemaphore(value: 0)

    private init() {}

    /// Runs the body with a transaction that is open from its first statement on, and commits it. When the body throws, everything is
    /// rolled back.
    ///
    /// - Parameter didCommit: finds out whether it was committed, when the connection was lost in that moment. When it was not, `busy` is
    ///   thrown: it may be tried again.
    package static func with<Value: Sendable>(
        _ database: any Records, didCommit: @escaping @Sendable () async throws -> Bool,
        _ body: @Sendable (OpenTransaction) async throws -> Value
    ) async throws -> Value {
        let open = OpenTransaction()
        // Not a child: whoever is cancelled during the commit is told whether it took place.
        let ending = Task {
            do { try await open.begin(on: database) } catch let error as RecordsError
                where error.code == .unknownOutcome
            {
                guard try await didCommit() else {
                    throw RecordsError(.busy, "nothing was committed: \(error)")
                }
            }
        }
        do {
            let value = try await body(open)
            open.add(.commit)
            try await ending.value
            return value
        } catch {
            open.add(.rollBack(error))
            _ = await ending.result
            throw error
        }
    }

    /// Runs statements in it. One that fails spoils the whole.
    package func run<Value: Sendable>(
        _ body: @escaping @Sendable (any RecordsTransaction) throws -> Value
    ) async throws -> Value {
        try await withCheckedThrowingContinuation { continuation in
            add(
                .run { transaction in
                    continuation.resume(
                        with: Result { try body(transaction) }.mapError {
                            ($0 as? PostgresFailure)?.recordsError ?? $0
                        })
                },
                orElse: { continuation.resume(throwing: $0) })
        }
    }

    /// Runs statements in it: all of them or none. Those that fail leave it as it was.
    package func runAlone<Value: Sendable>(
        _ body: @escaping @Sendable (any RecordsTransaction) throws -> Value
    ) async throws -> Value {
        try await run { transaction in
            try transaction.execute("SAVEPOINT freshet_alone")
            do {
                let value = try body(transaction)
                // Also waits for what the body left on its way.
                try transaction.execute("RELEASE SAVEPOINT freshet_alone")
                return value
            } catch {
                // Behind a statement that failed on its way nothing runs until its error has been fetched.
                _ = try? transaction.query("SELECT 1 AS one")
                // A transaction that is gone has nothing to roll back, and its end is told by whoever comes next.
                _ = try? transaction.execute("ROLLBACK TO SAVEPOINT freshet_alone")
                _ = try? transaction.execute("RELEASE SAVEPOINT freshet_alone")
                throw error
            }
        }
    }

    private func begin(on database: any Records) async throws {
        do { try await database.transaction { try self.serve($0) } } catch {
            end(error)
            throw error
        }
    }

    private func add(_ job: Job, orElse refuse: (any Error) -> Void = { _ in }) {
        let failure = state.withLock { state in
            if state.failure == nil { state.jobs.append(job) }
            return state.failure
        }
        if let failure { refuse(failure) } else { bell.signal() }
    }

    /// On the database's thread.
    private func serve(_ transaction: any RecordsTransaction) throws {
        // What was done before cannot be done again.
        let isAgain = state.withLock { state in
            defer { state.hasBegun = true }
            return state.hasBegun
        }
        do {
            if isAgain { throw RecordsError(.busy, "the transaction was in another one's way") }
            while true {
                guard bell.wait(timeout: .now() + Self.patience) == .success else { throw Stalled() }
                switch state.withLock({ $0.jobs.isEmpty ? nil : $0.jobs.removeFirst() }) {
                case nil: continue
                case .run(let body): body(transaction)
                case .commit: return
                case .rollBack(let error): throw error
                }
            }
        } catch {
            end(error)
            throw error
        }
    }

    /// Whoever still waits for a statement is told, and so is the database's thread.
    private func end(_ error: any Error) {
        let left = state.withLock { state in
            if state.failure == nil { state.failure = error }
            defer { state.jobs = [.rollBack(error)] }
            return state.jobs
        }
        bell.signal()
        for case .run(let body) in left { body(RefusedTransaction(error: error)) }
    }
}

/// Takes nothing more.
private struct RefusedTransaction: RecordsTransaction {
    let error: any Error
    func execute(_ sql: String, _ values: [RecordsValue]) throws -> Int { throw error }
    func query(_ sql: String, _ values: [RecordsValue]) throws -> [RecordsRow] { throw error }
    func enqueue(_ sql: String, _ values: [RecordsValue]) throws { throw error }
    func lock(_ name: String) throws { throw error }
}
