internal import ArgumentParser
internal import FoundationEssentials
internal import Freshet
internal import FreshetReplay
internal import FreshetService
internal import FreshetTesting
internal import Hiredis

/// `shop verify`
struct Verify: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract:
            "Checks Redis and the three databases against what must always hold; exits 1 if something does not.",
        discussion: """
            Delivery: every published event is, for every group, in exactly one state. Records: they are those of a run \
            in which each event was handled exactly once. Money: captured payments equal confirmed orders. Owners: with an \
            order (FRESHET_ORDERING=perKey) the owners of a partition committed one after the other; on PostgreSQL this needs \
            track_commit_timestamp.

            Without --redis-url the server's files in the data folder are used: by the shop that runs on it, or by a \
            server that is started for the check.
            """)

    @Option(
        name: .customLong("redis-url"),
        help:
            "Redis, when it is not the data folder's own; a password also by REDIS_PASSWORD or REDIS_PASSWORD_FILE."
    )
    var redisURL: String?

    @Option(help: "The namespace of the shop's keys.")
    var namespace: String = "shop"

    @Option(help: "The shop's data folder.")
    var data: String = "shop-data"

    @Option(help: "The folder with what the logs have no more, as 'replay archive' writes it.")
    var archive: String?

    @Flag(
        help:
            "With an order, also check that each key's events were handled in the order of the log. What was retried or replayed by hand is not."
    )
    var inOrder = false

    @Option(help: "table or json.")
    var format: SummaryFormat = .table

    func run() async throws {
        let folder = ShopFolder(data)
        let checks: [Check]
        if let redisURL {
            checks = try await verify(
                folder, on: Settings(file: nil).redis(redisURL, default: folder.socketURL))
        } else if await isServed(folder) {
            checks = try await verify(folder, on: RedisConfiguration(url: folder.socketURL))
        } else {
            _ = try folder.openDatabase(of: "order")
            try folder.lock()
            let server = LocalRedisServer(folder: folder.redisFolder, appendOnly: true)
            checks = try await withRedisServer(server) {
                try await verify(folder, on: RedisConfiguration(url: $0.url))
            }
        }
        print(try render(checks))
        if checks.contains(where: { !$0.isHeld }) {
            StandardError.write(
                "Redis and the databases are not read in one moment: what is under way just now can look broken. Look again when the shop is at rest."
            )
            throw ExitCode(ExitStatus.failed.rawValue)
        }
    }

    private func verify(_ folder: ShopFolder, on server: RedisConfiguration) async throws -> [Check] {
        let client = RedisClient(server)
        defer { client.close() }
        try await client.connect(within: .seconds(5))
        let broker = Broker(client, namespace: try Namespace(checking: namespace))
        return try await Verification(
            folder: folder, broker: broker, archive: archive.map { try Archive($0) }, inOrder: inOrder
        ).run()
    }

    /// Whether a shop runs on the folder now.
    private func isServed(_ folder: ShopFolder) async -> Bool {
        guard let configuration = try? RedisConfiguration(url: folder.socketURL) else { return false }
        let client = RedisClient(configuration)
        defer { client.close() }
        return (try? await client.connect(within: .milliseconds(300))) != nil
    }

    private func render(_ checks: [Check]) throws -> String {
        switch format {
        case .table:
            let width = checks.map(\.name.count).max() ?? 0
            return checks.map { check in
                let pad = String(repeating: " ", count: width - check.name.count)
                return "\(check.isHeld ? "ok    " : "BROKEN")  \(check.name)\(pad)  \(check.detail)"
            }.joined(separator: "\n")
        case .json:
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .prettyPrinted]
            return String(decoding: try encoder.encode(checks), as: UTF8.self)
        }
    }
}
