internal import Dispatch
internal import FoundationEssentials
internal import GRDB
internal import Glibc
internal import Hiredis
internal import Synchronization

/// Records in an SQLite file, through GRDB. Several processes of one machine may share the file.
///
/// Transactions that arrive while another one commits share the next commit, each within a savepoint of its own. The
/// file is in WAL mode with `synchronous=NORMAL`: a killed process loses nothing, a power failure may lose the last
/// transactions; `?synchronous=full` in the URL syncs each commit to the disk.
public final class SQLiteRecords: Records {
    /// SQLite's own words. A row's number is never given twice; a transaction that writes is alone, so nothing is locked.
    public let dialect = SQLDialect(
        identityColumn: "INTEGER PRIMARY KEY AUTOINCREMENT", bytesColumn: "BLOB", sharedLock: "",
        rowOrder: "rowid")

    /// Nil while it is opened anew.
    private let queue: Guarded<DatabaseQueue?>
    private let opener = DispatchQueue(label: "freshet.sqlite.opener")
    let path: String
    private let configuration: Configuration
    private let line = WorkLine(servers: 1)
    /// How many transactions share a commit at most: enough to make its cost small, few enough to keep it short.
    private static let mostPerCommit = 256

    /// Opens the file, and makes it when it is not there; its folder must be.
    ///
    /// - Parameter synchronous: SQLite's `synchronous`: `normal` or `full`.
    public convenience init(path: String, synchronous: String = "normal") throws(RecordsError) {
        guard ["normal", "full"].contains(synchronous) else {
            throw RecordsError(.invalidURL, "synchronous is 'normal' or 'full', not '\(synchronous)'")
        }
        try self.init(path: path, synchronous: synchronous, journal: "wal")
    }

    /// Only to look at: no file is made, and nothing of one is changed.
    convenience init(readingOnly path: String) throws(RecordsError) {
        try self.init(path: path, synchronous: "normal", journal: nil)
    }

    /// - Parameter journal: SQLite's `journal_mode`; nil opens the file for reading only.
    init(path: String, synchronous: String, journal: String?) throws(RecordsError) {
        var configuration = Configuration()
        // Short naps: another process's commit takes well under a millisecond, SQLite's own handler naps up to 100 ms. Nobody
        // queues for the lock, so who has waited for long looks more often: with longer naps it would wait for seconds under
        // load. After half a second someone holds it who does not move.
        configuration.busyMode = .callback { attempt in
            switch attempt {
            case ..<20: usleep(1000)
            case ..<1000: usleep(300)
            default: usleep(5000)
            }
            return attempt < 7000
        }
        if let journal {
            configuration.prepareDatabase { database in
                try database.execute(sql: "PRAGMA journal_mode = \(journal)")
                try database.execute(sql: "PRAGMA synchronous = \(synchronous)")
            }
        } else {
            configuration.readonly = true
        }
        self.path = path
        self.configuration = configuration
        do {
            queue = Guarded(try Self.open(path, configuration))
        } catch {
            throw RecordsError(.cannotOpen, "cannot open the database '\(path)': \(Self.reason(error))")
        }
    }

    /// Runs the body in one write transaction; see `Records`.
    public func transaction<Value: Sendable>(
        after first: [RecordsStatement],
        _ body: @escaping @Sendable (any RecordsTransaction, [Int]) throws -> Value
    ) async throws -> Value {
        try await line.run(after: first, body, start: start)
    }

    /// Runs the body outside a write transaction.
    public func read<Value: Sendable>(
        _ body: @escaping @Sendable (any RecordsTransaction) throws -> Value
    ) async throws -> Value {
        // A write finds out whether the connection is still of use, and has it opened anew.
        if queue.withLock({ $0 == nil }) { try await transaction { _ in } }
        guard let queue = queue.withLock({ $0 }) else {
            throw RecordsError(.unavailable, "the database is being opened again")
        }
        do {
            return try await queue.writeWithoutTransaction {
                try body(SQLiteTransaction(database: $0, isTransaction: false))
            }
        } catch {
            if Self.isOfConnection(error) { _ = try? await transaction { _ in } }
            throw Self.translated(error)
        }
    }

    // MARK: - Sharing commits

    /// Of two that open a new file at the same moment one can be told that it is locked, without being asked whether it waits: both
    /// change the file's journal. It tries again, for two seconds.
    private static func open(_ path: String, _ configuration: Configuration) throws -> DatabaseQueue {
        let end = ContinuousClock.now + .seconds(2)
        while true {
            do { return try DatabaseQueue(path: path, configuration: configuration) } catch let error
                as DatabaseError where error.resultCode == .SQLITE_BUSY && ContinuousClock.now < end
            {
                usleep(5000)
            }
        }
    }

    private func start(_ server: Int) {
        if let queue = queue.withLock({ $0 }) {
            queue.asyncWriteWithoutTransaction { [self] in serve($0, server) }
        } else {
            opener.async { [self] in reopen(server) }
        }
    }

    private func serve(_ database: Database, _ server: Int) {
        while true {
            let batch = line.take(server, most: Self.mostPerCommit)
            if batch.isEmpty { return }
            guard let error = commit(batch, on: database) else {
                for work in batch { work.finish(nil) }
                continue
            }
            if Self.isPassing(error) {
                for work in batch { work.finish(Self.translated(error)) }
                guard Self.isOfConnection(error) else { continue }
                let old = queue.withLock { queue in
                    defer { queue = nil }
                    return queue
                }
                // Not here: this is the connection's own thread. All of the old is to be gone before.
                return opener.async { [self] in
                    try? old?.close()
                    reopen(server)
                }
            }
            for work in batch {
                work.finish((batch.count == 1 ? error : commit([work], on: database)).map(Self.translated))
            }
        }
    }

    /// A connection that was opened while the file might only be read, or that lost it, stays so.
    private func reopen(_ server: Int) {
        do {
            let new = try Self.open(path, configuration)
            queue.withLock { $0 = new }
            start(server)
        } catch {
            while case let batch = line.take(server, most: Self.mostPerCommit), !batch.isEmpty {
                for work in batch {
                    work.finish(RecordsError(.unavailable, "cannot open the database: \(Self.reason(error))"))
                }
            }
        }
    }

    /// Runs these works in one transaction: first the fast way; when that fails each within a savepoint, so that one that fails
    /// does not fail the others. A work's own failure is kept in the work; what is returned failed for all.
    private func commit(_ works: [Work], on database: Database) -> (any Error)? {
        guard works.count > 1 else { return commit(works, isolated: false, on: database) }
        let error = commit(works, isolated: false, on: database)
        if error.map(Self.isPassing) ?? true { return error }
        return commit(works, isolated: true, on: database)
    }

    private func commit(_ works: [Work], isolated: Bool, on database: Database) -> (any Error)? {
        do {
            try database.inTransaction(.immediate) {
                let transaction = SQLiteTransaction(database: database, isTransaction: true)
                for work in works where !work.isOver {
                    work.failure = nil  // of a shared commit that failed: this run is what counts
                    guard isolated else {
                        try Self.run(work, transaction)
                        continue
                    }
                    do {
                        try database.inSavepoint {
                            try Self.run(work, transaction)
                            return .commit
                        }
                    } catch {
                        // An error that ended the whole transaction (a full disk can) is everyone's.
                        guard database.isInsideTransaction else { throw error }
                        work.failure = Self.translated(error)
                    }
                }
                return .commit
            }
            return nil
        } catch {
            return error
        }
    }

    private static func run(_ work: Work, _ transaction: SQLiteTransaction) throws {
        work.changes = try work.first.map { try transaction.execute($0.sql, $0.values) }
        try work.run(transaction)
    }

    private static func translated(_ error: any Error) -> any Error {
        guard error is DatabaseError else { return error }
        return RecordsError(isPassing(error) ? .unavailable : .statement, reason(error))
    }

    /// A full disk, a file that cannot be written or is not there: waiting may cure it.
    private static func isPassing(_ error: any Error) -> Bool {
        let code = (error as? DatabaseError)?.resultCode
        return isOfConnection(error) || code == .SQLITE_FULL || code == .SQLITE_BUSY
    }

    private static func isOfConnection(_ error: any Error) -> Bool {
        guard let code = (error as? DatabaseError)?.resultCode else { return false }
        // MISUSE: it was closed, to be opened anew.
        return [.SQLITE_READONLY, .SQLITE_IOERR, .SQLITE_CANTOPEN, .SQLITE_MISUSE].contains(code)
    }

    /// Without the statement's values, which may be someone's data.
    private static func reason(_ error: any Error) -> String {
        guard let error = error as? DatabaseError else { return "\(error)" }
        return "SQLite error \(error.resultCode.rawValue): \(error.message ?? "unknown")"
    }
}
