import FoundationEssentials
import Freshet
import FreshetRecords
import FreshetTesting
import Glibc
import Hiredis
import Testing

/// Workers as processes, on servers and databases of one test.
extension WorkerTests {
    static let services = ["order", "customer", "payment"]

    /// Workers on a server of the test's own, all three when nothing is said.
    static func withWorkers(
        _ services: [String] = services, on store: Store, environment: [String: String] = [:],
        _ body: (LocalRedisServer, RedisClient, Folder) async throws -> Void
    ) async throws {
        try await store.withFolder { folder in
            try await folder.makeData()
            try await withWorkers(services, environment: environment, folder, body)
        }
    }

    private static func withWorkers(
        _ services: [String], environment: [String: String], _ folder: Folder,
        _ body: (LocalRedisServer, RedisClient, Folder) async throws -> Void
    ) async throws {
        try await withRedisServer { server in
            let client = RedisClient(try RedisConfiguration(url: server.url))
            defer { client.close() }
            let workers = try services.map { try start($0, environment, server, folder) }
            do {
                try await body(server, client, folder)
            } catch {
                for worker in workers { worker.child.signal(SIGKILL) }
                throw error
            }
            for worker in workers { worker.child.signal(SIGTERM) }
            for worker in workers {
                let outcome = try await worker.outcome(within: .seconds(30))
                #expect(outcome.ending == .exited(0), "\(outcome.errors)")
            }
            try await verifyShop(folder, redisURL: server.url)
        }
    }

    static func start(
        _ service: String, _ environment: [String: String] = [:], _ server: LocalRedisServer, _ folder: Folder
    ) throws -> Running {
        try Program.start(
            "\(service)-worker", [],
            environment: [
                "REDIS_URL": server.url, "DATABASE_URL": folder.databaseURL(of: service),
                "PAYMENT_PROVIDER_LEDGER": folder.databaseURL(of: "provider"),
            ].merging(environment) { $1 }, in: folder)
    }

    static func place(_ orderID: String, token: String = "tok_visa", _ client: RedisClient) async throws {
        try await client.send(
            RedisCommand(
                "XADD", "shop:events:{orders:0}", "*", "specversion", "1.0", "id", orderID, "source", "test",
                "type",
                "order.placed", "data", data(orderID, token: token)))
    }

    static func data(_ orderID: String, name: String = "Ada", token: String = "tok_visa") -> String {
        """
        {"orderId":"\(orderID)","customer":{"id":"c1","name":"\(name)","email":"ada@example.com"},"lines":[{"sku":"cd",\
        "quantity":1,"amount":1250}],"currency":"EUR","total":1250,"paymentToken":"\(token)",\
        "placedAt":"2026-01-02T03:04:05Z"}
        """
    }

    /// Rows as text by column.
    static func rows(_ sql: String, _ service: String, _ folder: Folder) async throws -> [[String: String]] {
        try await RecordsDatabase.open(url: folder.databaseURL(of: service)).read { try $0.query(sql) }.map {
            row in
            Dictionary(
                uniqueKeysWithValues: row.columns.map {
                    ($0, row.text($0) ?? row.integer($0).map(String.init) ?? "")
                })
        }
    }
}
