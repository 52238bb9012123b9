internal import Dispatch
internal import Freshet
internal import Glibc

/// Records in PostgreSQL, 12 or newer, through libpq: `postgres://user@host/database`, with libpq's own options (`sslmode`,
/// `connect_timeout`, ...) and `pool`, how many connections there are (4).
///
/// One connection writes, and transactions that arrive while it is busy share the next commit: several that do so would wait for
/// each other's locks. The others read. Transactions run at READ COMMITTED, beside those of other processes: what a body
/// reads and relies on, it locks first (`RecordsTransaction.lock`). Those that were in each other's way are run again. No thread of
/// Swift's waits for the database: each connection has its own.
public final class PostgresRecords: Records {
    /// PostgreSQL's own words.
    public let dialect = SQLDialect(
        identityColumn: "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY", bytesColumn: "BYTEA",
        sharedLock: " FOR SHARE")

    private let writer: PostgresSeat
    private let readers: [PostgresSeat]
    private let writes = WorkLine(servers: 1)
    private let reads: WorkLine
    /// How many transactions share a commit at most; each of them keeps its locks until then.
    private static let mostPerCommit = 64

    /// Names a database. Connections are made when they are needed, and again whenever one is lost; an attempt takes five
    /// seconds at most unless the URL's `connect_timeout` says otherwise.
    ///
    /// - Throws: `invalidURL`.
    public init(url: String) throws(RecordsError) {
        let (own, pool) = try Self.options(url)
        writer = PostgresSeat(url: own, number: 0)
        readers = (1..<pool).map { PostgresSeat(url: own, number: $0) }
        reads = WorkLine(servers: readers.count)
    }

    /// The URL as libpq takes it, and the size of the pool.
    private static func options(_ url: String) throws(RecordsError) -> (url: String, pool: Int) {
        let parts = url.split(separator: "?", maxSplits: 1)
        let options = parts.dropFirst().first?.split(separator: "&") ?? []
        var others = options.filter { !$0.hasPrefix("pool=") }
        if !others.contains(where: { $0.hasPrefix("connect_timeout=") }) {
            others.append("connect_timeout=5")
        }
        let pool = options.last { $0.hasPrefix("pool=") }?.dropFirst(5) ?? "4"
        guard let count = Int(pool), (2...100).contains(count) else {
            throw RecordsError(.invalidURL, "'pool' in the database URL is a number from 2 to 100")
        }
        return ("\(parts.first ?? "")?\(others.joined(separator: "&"))", count)
    }

    /// Runs the body in one write transaction; see `Records`.
    public func transaction<Value: Sendable>(
        _ body: @escaping @Sendable (any RecordsTransaction) throws -> Value
    ) async throws -> Value {
        try await writes.run(body) { server in
            writer.serve(writes, as: server, most: Self.mostPerCommit) { $0.commit($1) }
        }
    }

    /// Runs the body outside a write transaction: each query sees what is committed when it runs.
    public func read<Value: Sendable>(
        _ body: @escaping @Sendable (any RecordsTransaction) throws -> Value
    ) async throws -> Value {
        try await reads.run(body) { server in
            readers[server].serve(reads, as: server, most: 1) { $0.read($1[0]) }
        }
    }
}

/// One connection's place in the pool, and its thread. `@unchecked Sendable` because only that thread, its queue's, uses the
/// connection.
private final class PostgresSeat: @unchecked Sendable {
    private let queue: DispatchQueue
    private let url: String
    private var connection: PostgresConnection?
    private static let mostAttempts = 10

    init(url: String, number: Int) {
        self.url = url
        queue = DispatchQueue(label: "freshet.postgresql.\(number)")
    }

    /// Takes from the line on this seat's thread until it is empty.
    func serve(
        _ line: WorkLine, as server: Int, most: Int,
        _ body: @escaping @Sendable (PostgresSeat, [Work]) -> Void
    ) {
        queue.async { [self] in
            while case let batch = line.take(server, most: most), !batch.isEmpty { body(self, batch) }
        }
    }

    private func connected() throws(PostgresFailure) -> PostgresConnection {
        if let connection, connection.isUsable { return connection }
        connection = nil
        let connection = try PostgresConnection(url: url)
        // A transaction whose process stands still is not to hold its locks for ever.
        try connection.send(
            """
            SELECT set_config('idle_in_transaction_session_timeout', '10s', false)
            WHERE current_setting('idle_in_transaction_session_timeout') = '0'
            """)
        try connection.results()
        self.connection = connection
        return connection
    }

    /// Runs these in one transaction, or each in one of its own when that fails.
    func commit(_ works: [Work]) {
        if works.count > 1 {
            // First the fast way; then each in its own savepoint, so that one that fails does not fail the others.
            for isolated in [false, true] {
                guard let error = commit(works, isolated: isolated) else {
                    for work in works { work.finish(nil) }
                    return
                }
                if error is Conflict { break }
                if let error = error as? RecordsError, [.unavailable, .unknownOutcome].contains(error.code) {
                    for work in works { work.finish(error) }
                    return
                }
            }
        }
        for work in works { work.finish(alone(work)) }
    }

    /// Runs one body in a transaction of its own, again when another was in the way.
    private func alone(_ work: Work) -> (any Error)? {
        for number in 1... {
            let error = commit([work], isolated: false)
            guard let conflict = error as? Conflict else { return error }
            if number == Self.mostAttempts { return conflict.error }
            usleep(UInt32.random(in: 0..<(UInt32(1000) << UInt32(number))))
        }
        return nil
    }

    /// Another transaction was in the way.
    private struct Conflict: Error { let error: RecordsError }

    private func translated(_ error: any Error) -> any Error {
        if let error = error as? RecordsError, error.code == .unknownOutcome { connection = nil }
        guard let failure = error as? PostgresFailure else { return error }
        if failure.kind == .lost { connection = nil }
        return failure.isConflict ? Conflict(error: failure.recordsError) : failure.recordsError
    }

    func read(_ work: Work) {
        if work.isOver { return }
        do {
            let connection = try connected()
            try work.run(PostgresTransaction(connection: connection, isTransaction: false))
            work.finish(nil)
        } catch {
            // Only a commit is run again.
            let error = translated(error)
            work.finish((error as? Conflict)?.error ?? error)
        }
    }

    private func commit(_ works: [Work], isolated: Bool) -> (any Error)? {
        do {
            let connection = try connected()
            try runAll(works, isolated: isolated, on: connection)
            try commit(connection)
            return nil
        } catch {
            return translated(error)
        }
    }

    private func runAll(_ works: [Work], isolated: Bool, on connection: PostgresConnection) throws {
        let transaction = PostgresTransaction(connection: connection, isTransaction: true)
        do {
            try connection.send("BEGIN")
            // Together they hold many locks: rather each alone than waiting for another process that waits for them.
            if works.count > 1 { try connection.send("SET LOCAL lock_timeout = '50ms'") }
            for work in works where !work.isOver {
                work.failure = nil
                if isolated {
                    try run(work, within: transaction, on: connection)
                } else {
                    try work.run(transaction)
                }
            }
            try connection.results()
        } catch {
            if connection.isUsable {
                // The error is what matters; without an answer to this the connection is made anew.
                do { try rollBack(connection) } catch { self.connection = nil }
            }
            throw error
        }
    }

    private func run(_ work: Work, within transaction: PostgresTransaction, on connection: PostgresConnection)
        throws
    {
        try connection.send("SAVEPOINT work")
        do {
            try work.run(transaction)
            try connection.results()
        } catch {
            if let failure = error as? PostgresFailure, failure.isConflict || failure.kind == .lost {
                throw error
            }
            work.failure = (error as? PostgresFailure)?.recordsError ?? error
            // What the body left in the pipeline belongs to it too.
            _ = try? connection.results()
            try connection.send("ROLLBACK TO SAVEPOINT work")
        }
        try connection.send("RELEASE SAVEPOINT work")
        try connection.results()
    }

    private func rollBack(_ connection: PostgresConnection) throws {
        _ = try? connection.results()
        try connection.send("ROLLBACK")
        try connection.results()
    }

    private func commit(_ connection: PostgresConnection) throws {
        do {
            try connection.send("COMMIT")
            let result = try connection.results()
            guard result?.tag == "COMMIT" else {
                throw PostgresFailure(.statement, "the transaction was rolled back", sqlState: "25P02")
            }
        } catch let failure as PostgresFailure {
            guard failure.kind == .lost else { throw failure }
            throw RecordsError(.unknownOutcome, "PostgreSQL: \(failure.message), during a commit")
        }
    }
}

private struct PostgresTransaction: RecordsTransaction {
    let connection: PostgresConnection
    let isTransaction: Bool

    func execute(_ sql: String, _ values: [RecordsValue]) throws -> Int {
        try connection.send(sql, values)
        return try connection.results()?.changes ?? 0
    }

    func query(_ sql: String, _ values: [RecordsValue]) throws -> [RecordsRow] {
        try connection.send(sql, values)
        return try connection.results()?.rows ?? []
    }

    func enqueue(_ sql: String, _ values: [RecordsValue]) throws {
        try connection.send(sql, values)
        if !isTransaction { try connection.results() }
    }

    func lock(_ name: String) throws {
        try enqueue("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", [.text(name)])
    }
}
