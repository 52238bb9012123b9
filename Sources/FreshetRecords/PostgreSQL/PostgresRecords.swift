internal import Freshet

/// Records in PostgreSQL, 12 or newer, through libpq: `postgres://user@host/database`, with libpq's own options (`sslmode`,
/// `connect_timeout`, ...), `pool`, the number of connections (4), and `reply_timeout`, the seconds (10) of
/// silence after which the server is asked through another connection whether it is still at work for this
/// one. When it is not, or does not answer, the connection is made anew: a network that drops everything
/// without a word ends no connection.
///
/// One connection writes, and transactions that arrive while it is busy share the next commit: several that do so would wait for
/// each other's locks. The others read. Transactions run at READ COMMITTED, beside those of other processes: what a body
/// reads and relies on, it locks first (`RecordsTransaction.lock`). Those that were in each other's way are run again. No thread of
/// Swift's waits for the database: each connection has its own.
public final class PostgresRecords: Records {
    /// PostgreSQL's own words.
    public let dialect = SQLDialect(
        identityColumn: "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY", bytesColumn: "BYTEA",
        sharedLock: " FOR SHARE",
        // A channel is the database's, and services may be in one database, each in a schema of its own, whose name can be as long
        // as a channel's.
        announcement: RecordsStatement("SELECT pg_notify('freshet ' || md5(current_schema()), '')"))

    /// The URL as libpq gets it: with a limit for everything that the system would wait for for hours.
    package var connectionURL: String { url }
    let url: String
    private let writer: PostgresSeat
    private let readers: [PostgresSeat]
    private let writes = WorkLine(servers: 1)
    private let reads: WorkLine
    /// How many transactions share a commit at most; each of them keeps its locks until then.
    private static let mostPerCommit = 64

    /// Names a database. Connections are made when they are needed, and again whenever one is lost; an attempt takes five
    /// seconds at most unless the URL's `connect_timeout` says otherwise, and an address that is gone is
    /// noticed after 10 s with something to send (`tcp_user_timeout`), after 25 s without (`keepalives_idle`,
    /// `keepalives_interval`, `keepalives_count`).
    ///
    /// - Throws: `invalidURL`.
    public convenience init(url: String) throws(RecordsError) { try self.init(url: url, setup: []) }

    /// - Parameter setup: what each connection begins with.
    init(url: String, setup: [String]) throws(RecordsError) {
        let (own, pool, replyTimeout) = try Self.options(url)
        self.url = own
        writer = PostgresSeat(url: own, number: 0, setup: setup, replyTimeout: replyTimeout)
        readers = (1..<pool).map {
            PostgresSeat(url: own, number: $0, setup: setup, replyTimeout: replyTimeout)
        }
        reads = WorkLine(servers: readers.count)
    }

    /// What libpq leaves to the system, which waits for hours.
    private static let defaults = [
        "connect_timeout=5", "keepalives_idle=10", "keepalives_interval=5", "keepalives_count=3",
        "tcp_user_timeout=10000",
    ]

    /// The URL as libpq takes it, and what is ours in it.
    private static func options(_ url: String) throws(RecordsError) -> (
        url: String, pool: Int, replyTimeout: Duration
    ) {
        let parts = url.split(separator: "?", maxSplits: 1)
        let options = parts.dropFirst().first?.split(separator: "&").map(String.init) ?? []
        func number(_ name: String, in range: ClosedRange<Int>, default value: Int) throws(RecordsError)
            -> Int
        {
            guard let option = options.last(where: { $0.hasPrefix("\(name)=") }) else { return value }
            guard let number = Int(option.dropFirst(name.count + 1)), range.contains(number) else {
                throw RecordsError(
                    .invalidURL,
                    "'\(name)' in the database URL is a number from \(range.lowerBound) to \(range.upperBound)"
                )
            }
            return number
        }
        let pool = try number("pool", in: 2...100, default: 4)
        let replyTimeout = try number("reply_timeout", in: 1...86_400, default: 10)
        var others = options.filter { !$0.hasPrefix("pool=") && !$0.hasPrefix("reply_timeout=") }
        for option in defaults {
            let name = option.prefix { $0 != "=" }
            if !others.contains(where: { $0.hasPrefix("\(name)=") }) { others.append(option) }
        }
        return ("\(parts.first ?? "")?\(others.joined(separator: "&"))", pool, .seconds(replyTimeout))
    }

    /// Runs the body in one write transaction; see `Records`.
    public func transaction<Value: Sendable>(
        after first: [RecordsStatement],
        _ body: @escaping @Sendable (any RecordsTransaction, [Int]) throws -> Value
    ) async throws -> Value {
        try await writes.run(after: first, body) { server in
            writer.serve(writes, as: server, most: Self.mostPerCommit) { $0.commit($1) }
        }
    }

    /// Runs the body outside a write transaction: each query sees what is committed when it runs.
    public func read<Value: Sendable>(
        _ body: @escaping @Sendable (any RecordsTransaction) throws -> Value
    ) async throws -> Value {
        try await reads.run(after: []) { transaction, _ in
            try body(transaction)
        } start: { server in
            readers[server].serve(reads, as: server, most: 1) { $0.read($1[0]) }
        }
    }
}
