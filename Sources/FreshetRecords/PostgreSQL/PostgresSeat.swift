internal import Dispatch
internal import Glibc

/// One connection's place in the pool, and its thread. `@unchecked Sendable` because only that thread, its queue's, uses the
/// connection.
final class PostgresSeat: @unchecked Sendable {
    private let queue: DispatchQueue
    private let url: String
    private let setup: [String]
    private let replyTimeout: Duration
    private var connection: PostgresConnection? {
        didSet { if connection == nil { lost = oldValue?.session ?? lost } }
    }
    /// The session of the last connection, which the server may not know to be over.
    private var lost: PostgresSession?
    private static let mostAttempts = 10

    init(url: String, number: Int, setup: [String], replyTimeout: Duration) {
        self.replyTimeout = replyTimeout
        self.url = url
        self.setup = setup
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
        let url = url
        let connection = try PostgresConnection(url: url, replyTimeout: replyTimeout) { session in
            let other = try? PostgresConnection(url: url, replyTimeout: .seconds(5))
            return (try? other.map { try session.isServed(through: $0) }) ?? false
        }
        // A transaction whose process stands still is not to hold its locks for ever.
        try connection.send(
            """
            SELECT set_config('idle_in_transaction_session_timeout', '10s', false)
            WHERE current_setting('idle_in_transaction_session_timeout') = '0'
            """)
        for statement in setup { try connection.send(statement) }
        try connection.identify()
        if let lost {
            // What it has locked is in the way of what is done again. Refused, it is left to the server's own
            // limits.
            do { try lost.end(through: connection) } catch {
                guard error.kind == .statement else { throw error }
            }
        }
        lost = nil
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
            // Asked once: whose first statements have run must run to its end, or an inbox would know what was not done.
            let works = works.filter { !$0.isOver }
            for work in works { work.failure = nil }
            if isolated {
                for work in works { try run(work, within: transaction, on: connection) }
            } else {
                try begin(works, on: connection)
                for work in works { try work.run(transaction) }
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
            try begin([work], on: connection)
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

    /// The statements that these begin with, in one round trip.
    private func begin(_ works: [Work], on connection: PostgresConnection) throws {
        let works = works.filter { !$0.first.isEmpty }
        guard !works.isEmpty else { return }
        for statement in works.lazy.flatMap(\.first) { try connection.send(statement.sql, statement.values) }
        // Behind those of BEGIN and what else there may be.
        let count = works.reduce(0) { $0 + $1.first.count }
        var changes = try connection.changes().suffix(count)
        guard changes.count == count else {
            throw PostgresFailure(.statement, "\(count) statements have \(changes.count) results")
        }
        for work in works {
            work.changes = Array(changes.prefix(work.first.count))
            changes.removeFirst(work.first.count)
        }
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
