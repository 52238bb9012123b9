internal import CPostgreSQL
internal import Glibc

/// One connection to PostgreSQL through libpq, for one thread at a time, which waits for the server in `poll`.
///
/// Statements go out in a pipeline: `send` queues them, `results` waits for all that were sent. Statements are prepared once
/// for each text.
@safe final class PostgresConnection {
    private let connection: OpaquePointer
    /// The prepared statements by their text.
    private var names: [String: String] = [:]
    private var nextName = 0
    /// What was sent and not answered: nil for a caller's statement, for a preparation the text of its statement.
    private var pending: [String?] = []
    private static let mostNames = 1000
    private let replyTimeout: Duration
    /// Whether the server is still at work for this session, after a silence.
    private let isServed: (PostgresSession) -> Bool
    /// This session at the server; nil until it was asked for.
    private(set) var session: PostgresSession?
    private var isGivenUp = false

    /// Connects, which takes as long as the URL's `connect_timeout` says at most.
    ///
    /// - Parameters:
    ///   - replyTimeout: after how long a silence `isServed` is asked, each time.
    ///   - isServed: false ends the connection.
    init(
        url: String, replyTimeout: Duration = .seconds(10),
        isServed: @escaping (PostgresSession) -> Bool = { _ in false }
    ) throws(PostgresFailure) {
        self.replyTimeout = replyTimeout
        self.isServed = isServed
        guard let connection = unsafe PQconnectdb(url) else {
            throw PostgresFailure(.lost, "no memory for a connection")
        }
        unsafe self.connection = unsafe connection
        // "already exists, skipping" is nothing for a log.
        unsafe PQsetNoticeProcessor(connection, { _, _ in }, nil)
        guard unsafe PQstatus(connection) == CONNECTION_OK, unsafe PQsetnonblocking(connection, 1) == 0,
            unsafe PQenterPipelineMode(connection) == 1
        else {
            let message = unsafe Self.message(connection)
            // What another attempt does not cure: libpq gives no SQLSTATE for it before version 17.
            let isRefused = [
                "authentication failed", "does not exist", "no password supplied", "no pg_hba.conf entry",
                "certificate verify failed", "does not match host name", "root certificate file",
            ]
            throw PostgresFailure(isRefused.contains(where: message.contains) ? .refused : .lost, message)
        }
    }

    deinit { unsafe PQfinish(connection) }

    /// Whether it can still be used.
    var isUsable: Bool { unsafe !isGivenUp && PQstatus(connection) == CONNECTION_OK }

    /// Asks which session this is.
    func identify() throws(PostgresFailure) {
        try send("SELECT backend_start::text AS began FROM pg_stat_activity WHERE pid = pg_backend_pid()")
        let began = try results()?.rows.first?.text("began")
        session = began.map { PostgresSession(id: unsafe Int(PQbackendPID(connection)), began: $0) }
    }

    /// Queues a statement, whose result the next `results` waits for.
    func send(_ sql: String, _ values: [RecordsValue] = []) throws(PostgresFailure) {
        guard !values.contains(where: \.holdsNUL) else {
            // Here, and not at the server: libpq would cut the text off.
            throw PostgresFailure(.statement, "a text holds a NUL", sqlState: "22021")
        }
        let name = try name(for: sql)
        let sent = unsafe PostgresParameters(values).withPointers { count, values, lengths, formats in
            unsafe PQsendQueryPrepared(connection, name, count, values, lengths, formats, 0)
        }
        guard sent == 1 else { throw lost() }
        pending.append(nil)
    }

    private func name(for sql: String) throws(PostgresFailure) -> String {
        if let name = names[sql] { return name }
        if names.count >= Self.mostNames {
            // Texts that are made anew each time: those of before are of no use.
            names = [:]
            try send("DEALLOCATE ALL")
            // Not one of the caller's: as a preparation it is in no one's count.
            pending[pending.count - 1] = ""
        }
        nextName += 1
        let name = "freshet\(nextName)"
        guard unsafe PQsendPrepare(connection, name, sql, 0, nil) == 1 else { throw lost() }
        names[sql] = name
        pending.append(sql)
        return name
    }

    /// Waits for all that was sent; returns the last one's result, and throws the first one's error. After an error the
    /// transaction that it happened in takes nothing but a roll-back.
    ///
    /// Each wait ends the pipeline: a server that only flushes does not count the time in which a transaction is idle.
    @discardableResult
    func results() throws(PostgresFailure) -> PostgresResult? {
        var last: PostgresResult?
        try collect { last = $0 }
        return last
    }

    /// As `results`; how many rows each statement changed, in the order in which they were sent.
    func changes() throws(PostgresFailure) -> [Int] {
        var changes: [Int] = []
        try collect { changes.append($0.changes) }
        return changes
    }

    private func collect(_ body: (PostgresResult) -> Void) throws(PostgresFailure) {
        guard !pending.isEmpty else { return }
        guard unsafe PQpipelineSync(connection) == 1 else { throw lost() }
        var failure: PostgresFailure?
        for preparation in pending {
            // One or more results of a statement, and a nothing at its end.
            while let result = try nextResult() {
                switch result.status {
                case PGRES_COMMAND_OK, PGRES_TUPLES_OK: if preparation == nil { body(result) }
                case PGRES_PIPELINE_ABORTED: if let preparation { names[preparation] = nil }
                default:
                    failure = failure ?? result.failure
                    if let preparation { names[preparation] = nil }
                    // Its plan was made for a table that has changed since: all are prepared again.
                    if result.sqlState == "0A000" { names = [:] }
                }
            }
        }
        pending = []
        while let result = try nextResult(), result.status != PGRES_PIPELINE_SYNC {}
        if let failure { throw failure }
    }

    /// The connection's own descriptor.
    var socket: Int32 { unsafe PQsocket(connection) }

    /// Waits until the server says that a channel was notified.
    func waitForNotice() throws(PostgresFailure) {
        var isNotified = false
        while !isNotified {
            var socket = pollfd(fd: self.socket, events: Int16(POLLIN), revents: 0)
            let ready = unsafe poll(&socket, 1, -1)
            if ready < 0, errno != EINTR { throw lost() }
            guard unsafe PQconsumeInput(connection) == 1 else { throw lost() }
            while let notice = unsafe PQnotifies(connection) {
                unsafe PQfreemem(notice)
                isNotified = true
            }
        }
    }

    private func nextResult() throws(PostgresFailure) -> PostgresResult? {
        while true {
            let unsent = unsafe PQflush(connection)
            guard unsent >= 0 else { throw lost() }
            if unsafe PQisBusy(connection) == 0 { break }
            var socket = pollfd(
                fd: self.socket, events: Int16(POLLIN | (unsent == 1 ? POLLOUT : 0)),
                revents: 0)
            let ready = unsafe poll(&socket, 1, Int32(replyTimeout.components.seconds * 1000))
            if ready < 0, errno != EINTR { throw lost() }
            if ready == 0 { try requireServed(&socket) }
            if Int32(socket.revents) & ~POLLOUT != 0, unsafe PQconsumeInput(connection) == 0 { throw lost() }
        }
        guard let result = unsafe PQgetResult(connection) else {
            guard isUsable else { throw lost() }
            return nil
        }
        return unsafe PostgresResult(result)
    }

    /// Ends the connection unless the server is at work for it, or its answer has come just now.
    private func requireServed(_ socket: inout pollfd) throws(PostgresFailure) {
        if let session, isServed(session) { return }
        if unsafe poll(&socket, 1, 0) > 0 { return }
        isGivenUp = true
        throw PostgresFailure(
            .lost, "no answer for \(replyTimeout), and the server is not at work for this connection")
    }

    private func lost() -> PostgresFailure {
        unsafe PostgresFailure(.lost, Self.message(connection))
    }

    private static func message(_ connection: OpaquePointer) -> String {
        let text = unsafe PQerrorMessage(connection).map { unsafe String(cString: $0) } ?? ""
        let lines = text.split(separator: "\n").map { $0.trimmingSpaces }
        return lines.isEmpty ? "the connection to the database is lost" : lines.joined(separator: " ")
    }
}

extension Substring {
    fileprivate var trimmingSpaces: Substring {
        drop { $0 == " " || $0 == "\t" }
    }
}

/// A connection as the server knows it. Ids are given again, so that its beginning belongs to it.
struct PostgresSession {
    let id: Int
    let began: String

    /// Whether the server is at work for it: not waiting for what it sends or takes.
    func isServed(through connection: PostgresConnection) throws(PostgresFailure) -> Bool {
        try connection.send(
            """
            SELECT 1 AS found FROM pg_stat_activity WHERE pid = $1 AND backend_start::text = $2 AND state = 'active'
              AND wait_event_type IS DISTINCT FROM 'Client'
            """, [.integer(id), .text(began)])
        return try connection.results()?.rows.isEmpty == false
    }

    /// Ends it, and with it what it has locked: its end may not have reached the server.
    func end(through connection: PostgresConnection) throws(PostgresFailure) {
        try connection.send(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = $1 AND backend_start::text = $2",
            [.integer(id), .text(began)])
        try connection.results()
    }
}

/// What the database said no to, or that it is not there.
struct PostgresFailure: Error {
    enum Kind: Sendable {
        /// There is no connection any more, or none can be made now.
        case lost
        /// The server will not let us in, however often we ask.
        case refused
        /// A statement failed; the connection is as good as before.
        case statement
    }
    let kind: Kind
    let message: String
    /// The error code of five characters.
    let sqlState: String

    init(_ kind: Kind, _ message: String, sqlState: String = "") {
        (self.kind, self.message, self.sqlState) = (kind, message, sqlState)
    }

    /// Another transaction was in the way: to be run again.
    var isConflict: Bool { ["40001", "40P01", "55P03", "0A000"].contains(sqlState) }

    /// Waiting cures it: no connection, a server that stops or starts, one that is full or only to be read.
    var isPassing: Bool {
        kind == .lost || sqlState.hasPrefix("08") && sqlState != "08P01" || sqlState.hasPrefix("53")
            || sqlState.hasPrefix("57P")
            || ["25006", "25P03", "58030"].contains(sqlState)
    }

    var recordsError: RecordsError {
        switch kind {
        case .refused: RecordsError(.cannotOpen, "cannot open the database: \(message)")
        case _ where isPassing: RecordsError(.unavailable, "PostgreSQL: \(message)")
        case _ where isConflict: RecordsError(.busy, "PostgreSQL error \(sqlState): \(message)")
        default: RecordsError(.statement, "PostgreSQL error \(sqlState): \(message)")
        }
    }
}
