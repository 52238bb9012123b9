internal import Freshet

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
        sharedLock: " FOR SHARE",
        // A channel is the database's, and services may be in one database, each in a schema of its own, whose name can be as long
        // as a channel's.
        announcement: RecordsStatement("SELECT pg_notify('freshet ' || md5(current_schema()), '')"))

    let url: String
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
    public convenience init(url: String) throws(RecordsError) { try self.init(url: url, setup: []) }

    /// - Parameter setup: what each connection begins with.
    init(url: String, setup: [String]) throws(RecordsError) {
        let (own, pool) = try Self.options(url)
        self.url = own
        writer = PostgresSeat(url: own, number: 0, setup: setup)
        readers = (1..<pool).map { PostgresSeat(url: own, number: $0, setup: setup) }
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
