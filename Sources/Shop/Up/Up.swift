internal import ArgumentParser
internal import FoundationEssentials
internal import Freshet
internal import FreshetService
internal import FreshetTesting
internal import Hiredis
internal import ShopEvents
internal import UnixSignals

/// `shop up`
struct Up: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Starts the shop: a private redis-server, the three services, and places orders.",
        discussion: """
            The server listens on a Unix socket in the data folder and keeps an append-only file there; with \
            --redis-url none is started. Workers that die are started again. Ctrl-C drains and stops everything.
            """)

    @Option(help: "Orders to place: a CSV or NDJSON file, or - for standard input.")
    var orders: String?

    @Option(help: "How many processes of each service: order=2,payment=4. One of each unless said otherwise.")
    var workers: WorkerCounts = WorkerCounts()

    @Option(name: .customLong("redis-url"), help: "A Redis that runs already. [REDIS_URL is not used here]")
    var redisURL: String?

    @Option(
        name: .customLong("database-url"),
        help:
            "A PostgreSQL database for the services' records, each in a schema of its own; SQLite files in the data folder otherwise."
    )
    var databaseURL: String?

    @Option(help: "The namespace of the shop's keys.")
    var namespace: String = "shop"

    @Option(help: "The folder for databases, logs and the server's files.")
    var data: String = "shop-data"

    @Flag(help: "Stop everything when nothing is waiting, pending or delayed, and print a summary.")
    var exitWhenSettled = false

    @Flag(help: "Place the good orders of a file with bad rows (exit code 2 then).")
    var skipInvalid = false

    @Option(help: "table or json, for the summary.")
    var format: SummaryFormat = .table

    func run() async throws {
        let folder = ShopFolder(data)
        try folder.make()
        try folder.lock()
        if let databaseURL { try await folder.keepRecords(in: databaseURL) }
        let namespace = try Namespace(checking: namespace)
        let signals = await UnixSignalsSequence(trapping: .sigterm, .sigint)
        if let redisURL {
            try await run(on: redisURL, namespace, folder, signals)
        } else {
            let server = LocalRedisServer(folder: folder.redisFolder, appendOnly: true)
            try await withRedisServer(server) { server in
                try await run(on: server.url, namespace, folder, signals)
            }
        }
    }

    private func run(
        on url: String, _ namespace: Namespace, _ folder: ShopFolder, _ signals: UnixSignalsSequence
    ) async throws {
        let client = RedisClient(try RedisConfiguration(url: url))
        defer { client.close() }
        try await client.connect(within: .seconds(10))
        let broker = Broker(client, namespace: namespace)
        let file = try orders.map { try CheckedOrders(path: $0, skipInvalid: skipInvalid) }
        let pool = WorkerPool(folder: folder, redisURL: url, namespace: namespace, counts: workers.counts)
        let run = ShopRun(
            folder: folder, broker: broker, pool: pool, exitsWhenSettled: exitWhenSettled, signals: signals)
        let summary = try await run.run(placing: file)
        print(try format.render(summary))
        if let file, file.skipped > 0 { throw ExitCode(ExitStatus.partlyDone.rawValue) }
    }
}

/// `order=2,payment=4`
struct WorkerCounts: ExpressibleByArgument {
    var counts: [String: Int] = [:]

    init() {}

    init?(argument: String) {
        for part in argument.split(separator: ",") {
            let pair = part.split(separator: "=")
            guard pair.count == 2, ShopTopology.services.contains(String(pair[0])), let count = Int(pair[1]),
                (1...100).contains(count)
            else { return nil }
            counts[String(pair[0])] = count
        }
    }

    var defaultValueDescription: String { "one of each" }
}

/// How a summary is printed.
enum SummaryFormat: String, ExpressibleByArgument, CaseIterable {
    case table, json

    func render(_ summary: Summary) throws -> String {
        switch self {
        case .table: return summary.table
        case .json:
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .prettyPrinted]
            return String(decoding: try encoder.encode(summary), as: UTF8.self)
        }
    }
}
