internal import FoundationEssentials
internal import GRDB
internal import Glibc
internal import Synchronization

/// Records in an SQLite file, through GRDB. Several processes of one machine may share the file.
///
/// Transactions that arrive while another one commits share the next commit, each within a savepoint of its own. The
/// file is in WAL mode with `synchronous=NORMAL`: a killed process loses nothing, a power failure may lose the last
/// transactions; `?synchronous=full` in the URL syncs each commit to the disk.
public final class SQLiteRecords: Records {
    /// Numbers rows in the order in which they were written, and never a number twice.
    public let identityColumn = "INTEGER PRIMARY KEY AUTOINCREMENT"
    /// BLOB.
    public let bytesColumn = "BLOB"

    private let queue: DatabaseQueue
    private struct Line {
        var works: [Work] = []
        var isServed = false
    }
    private let line = Mutex(Line())
    /// How many transactions share a commit at most: enough to make its cost small, few enough to keep it short.
    private static let mostPerCommit = 256

    /// Opens the file, and makes it when it is not there; its folder must be.
    ///
    /// - Parameter synchronous: SQLite's `synchronous`: `normal` or `full`.
    public init(path: String, synchronous: String = "normal") throws(RecordsError) {
        guard ["normal", "full"].contains(synchronous) else {
            throw RecordsError(.invalidURL, "synchronous is 'normal' or 'full', not '\(synchronous)'")
        }
        var configuration = Configuration()
        // Short naps: another process's commit takes well under a millisecond, SQLite's own handler naps up to 100 ms.
        configuration.busyMode = .callback { attempt in
            usleep(attempt < 20 ? 1000 : 5000)
            return attempt < 6000
        }
        configuration.prepareDatabase { database in
            try database.execute(sql: "PRAGMA journal_mode = WAL")
            try database.execute(sql: "PRAGMA synchronous = \(synchronous)")
        }
        do {
            queue = try DatabaseQueue(path: path, configuration: configuration)
        } catch {
            throw RecordsError(.cannotOpen, "cannot open the database '\(path)': \(Self.reason(error))")
        }
    }

    /// Runs the body in one write transaction; see `Records`.
    public func transaction<Value: Sendable>(
        _ body: @escaping @Sendable (any RecordsTransaction) throws -> Value
    ) async throws -> Value {
        try await withCheckedThrowingContinuation { continuation in
            enqueue(Work(body: body, continuation: continuation))
        }
    }

    /// Runs the body outside a write transaction.
    public func read<Value: Sendable>(
        _ body: @escaping @Sendable (any RecordsTransaction) throws -> Value
    ) async throws -> Value {
        do {
            return try await queue.writeWithoutTransaction { try body(SQLiteTransaction(database: $0)) }
        } catch let error as DatabaseError {
            throw RecordsError(.statement, Self.reason(error))
        }
    }

    // MARK: - Sharing commits

    private func enqueue(_ work: Work) {
        let mustServe = line.withLock { line in
            line.works.append(work)
            defer { line.isServed = true }
            return !line.isServed
        }
        if mustServe { queue.asyncWriteWithoutTransaction { [self] in serve($0) } }
    }

    private func serve(_ database: Database) {
        while true {
            let batch = line.withLock { line in
                let batch = Array(line.works.prefix(Self.mostPerCommit))
                line.works.removeFirst(batch.count)
                if batch.isEmpty { line.isServed = false }
                return batch
            }
            if batch.isEmpty { return }
            if let error = commit(batch, on: database) {
                if batch.count == 1 {
                    batch[0].finish(error)
                } else {
                    for work in batch { work.finish(commit([work], on: database)) }
                }
            } else {
                for work in batch { work.finish(nil) }
            }
        }
    }

    /// Runs these works in one transaction. A work's own failure is kept in the work; what is returned failed for all.
    private func commit(_ works: [Work], on database: Database) -> (any Error)? {
        do {
            try database.inTransaction(.immediate) {
                let transaction = SQLiteTransaction(database: database)
                for work in works {
                    work.failure = nil  // of a shared commit that failed: this run is what counts
                    do {
                        try database.inSavepoint {
                            try work.run(transaction)
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
            return Self.translated(error)
        }
    }

    private static func translated(_ error: any Error) -> any Error {
        error is DatabaseError ? RecordsError(.statement, reason(error)) : error
    }

    /// Without the statement's values, which may be someone's data.
    private static func reason(_ error: any Error) -> String {
        guard let error = error as? DatabaseError else { return "\(error)" }
        return "SQLite error \(error.resultCode.rawValue): \(error.message ?? "unknown")"
    }
}

/// One body in line for a commit. `@unchecked Sendable` because it goes from its caller to the database's queue through
/// the line's mutex, and only the queue touches it from then on.
private final class Work: @unchecked Sendable {
    let run: (any RecordsTransaction) throws -> Void
    var failure: (any Error)?
    private let resume: ((any Error)?) -> Void

    init<Value: Sendable>(
        body: @escaping @Sendable (any RecordsTransaction) throws -> Value,
        continuation: CheckedContinuation<Value, any Error>
    ) {
        let box = Box<Value>()
        run = { box.value = try body($0) }
        resume = { error in
            if let error {
                continuation.resume(throwing: error)
            } else if let value = box.value {
                continuation.resume(returning: value)
            } else {
                continuation.resume(throwing: RecordsError(.statement, "the transaction did not run"))
            }
        }
    }

    func finish(_ error: (any Error)?) { resume(error ?? failure) }
}

private final class Box<Value> {
    var value: Value?
    init() {}
}

private struct SQLiteTransaction: RecordsTransaction {
    let database: Database

    func execute(_ sql: String, _ values: [RecordsValue]) throws -> Int {
        let statement = try database.cachedStatement(sql: sql)
        try statement.execute(arguments: Self.arguments(values))
        return database.changesCount
    }

    func query(_ sql: String, _ values: [RecordsValue]) throws -> [RecordsRow] {
        let statement = try database.cachedStatement(sql: sql)
        return try Row.fetchAll(statement, arguments: Self.arguments(values)).map { row in
            var columns: [String: RecordsValue] = [:]
            for (name, value) in row {
                columns[name] =
                    switch value.storage {
                    case .null: .null
                    case .int64(let number): .integer(number)
                    case .double(let number): .real(number)
                    case .string(let text): .text(text)
                    case .blob(let data): .bytes([UInt8](data))
                    }
            }
            return RecordsRow(columns)
        }
    }

    private static func arguments(_ values: [RecordsValue]) -> StatementArguments {
        StatementArguments(
            values.map { value -> (any DatabaseValueConvertible)? in
                switch value {
                case .null: nil
                case .integer(let number): number
                case .real(let number): number
                case .text(let text): text
                case .bytes(let bytes): Data(bytes)
                }
            })
    }
}
