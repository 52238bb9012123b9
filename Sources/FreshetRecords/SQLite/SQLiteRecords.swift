internal import FoundationEssentials
internal import GRDB
internal import Glibc

/// Records in an SQLite file, through GRDB. Several processes of one machine may share the file.
///
/// Transactions that arrive while another one commits share the next commit, each within a savepoint of its own. The
/// file is in WAL mode with `synchronous=NORMAL`: a killed process loses nothing, a power failure may lose the last
/// transactions; `?synchronous=full` in the URL syncs each commit to the disk.
public final class SQLiteRecords: Records {
    /// SQLite's own words. A row's number is never given twice; a transaction that writes is alone, so nothing is locked.
    public let dialect = SQLDialect(
        identityColumn: "INTEGER PRIMARY KEY AUTOINCREMENT", bytesColumn: "BLOB", sharedLock: "")

    private let queue: DatabaseQueue
    private let line = WorkLine(servers: 1)
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
        try await line.run(body) { server in
            queue.asyncWriteWithoutTransaction { [self] in serve($0, server) }
        }
    }

    /// Runs the body outside a write transaction.
    public func read<Value: Sendable>(
        _ body: @escaping @Sendable (any RecordsTransaction) throws -> Value
    ) async throws -> Value {
        do {
            return try await queue.writeWithoutTransaction { try body(SQLiteTransaction(database: $0)) }
        } catch {
            throw Self.translated(error)
        }
    }

    // MARK: - Sharing commits

    private func serve(_ database: Database, _ server: Int) {
        while true {
            let batch = line.take(server, most: Self.mostPerCommit)
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
                for work in works where !work.isOver {
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
        guard let failure = error as? DatabaseError else { return error }
        // A full disk, a file that cannot be written or is not there: waiting may cure it.
        let passing: [ResultCode] = [
            .SQLITE_FULL, .SQLITE_READONLY, .SQLITE_IOERR, .SQLITE_CANTOPEN, .SQLITE_BUSY,
        ]
        let isPassing = passing.contains(failure.resultCode)
        return RecordsError(isPassing ? .unavailable : .statement, reason(failure))
    }

    /// Without the statement's values, which may be someone's data.
    private static func reason(_ error: any Error) -> String {
        guard let error = error as? DatabaseError else { return "\(error)" }
        return "SQLite error \(error.resultCode.rawValue): \(error.message ?? "unknown")"
    }
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
        let rows = try Row.fetchCursor(statement, arguments: Self.arguments(values))
        let names = statement.columnNames
        var result: [RecordsRow] = []
        while let row = try rows.next() {
            result.append(RecordsRow(names: names, values: names.indices.map { Self.value(row, $0) }))
        }
        return result
    }

    func enqueue(_ sql: String, _ values: [RecordsValue]) throws { _ = try execute(sql, values) }

    /// A transaction that writes is alone.
    func lock(_ name: String) throws {}

    private static func value(_ row: Row, _ index: Int) -> RecordsValue {
        let value: DatabaseValue = row[index]
        return switch value.storage {
        case .null: .null
        case .int64(let number): .integer(number)
        case .double(let number): .real(number)
        case .string(let text): .text(text)
        case .blob(let data): .bytes([UInt8](data))
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
