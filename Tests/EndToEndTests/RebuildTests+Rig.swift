import FoundationEssentials
import Freshet
import FreshetRecords
import FreshetTesting
import Glibc
import Hiredis
import Testing

/// A shop whose workers are started by the test, and rebuilds of its services.
extension RebuildTests {
    struct Report: Decodable {
        struct Events: Decodable { let read, applied, passedOver, notHandled, unreadable, caughtUp: Int }
        struct Table: Decodable {
            let table: String
            let live, rebuilt, equal, differing, onlyLive, onlyRebuilt: Int
        }
        struct Missing: Decodable {
            struct Example: Decodable { let topic, type, causationID: String }
            let count, published: Int
            let examples: [Example]
        }
        let isSwapped: Bool
        let events: Events
        let tables: [Table]
        let missing: Missing

        func table(_ name: String) throws -> Table { try #require(tables.first { $0.table == name }) }
    }

    static let services = WorkerTests.services

    /// A service's tables and those of the provider: all that is not inbox, outbox and the like.
    static let tables: [(service: String, table: String, order: String)] = [
        ("order", "orders", "order_id"), ("order", "order_lines", "order_id, line"),
        ("order", "early_decisions", "order_id"), ("order", "refused_transitions", "order_id, event_id"),
        ("customer", "customers", "customer_id"), ("customer", "customer_orders", "order_id"),
        ("payment", "payments", "order_id"), ("payment", "cancelled_orders", "order_id"),
        ("provider", "charges", "idempotency_key"),
    ]

    static func records(_ folder: Folder) async throws -> [String: [[String: String]]] {
        var records: [String: [[String: String]]] = [:]
        for (service, table, order) in tables {
            records[table] = try await WorkerTests.rows(
                "SELECT * FROM \(table) ORDER BY \(order)", service, folder)
        }
        return records
    }

    static func environment(
        of service: String, _ server: LocalRedisServer, _ folder: Folder
    ) -> [String: String] {
        [
            "REDIS_URL": server.url, "DATABASE_URL": folder.databaseURL(of: service),
            "PAYMENT_PROVIDER_LEDGER": folder.databaseURL(of: "provider"),
        ]
    }

    static func start(
        _ service: String, _ flags: [String], _ server: LocalRedisServer, _ folder: Folder
    ) throws -> Running {
        try Program.start(
            "\(service)-worker", ["--rebuild"] + flags, environment: environment(of: service, server, folder),
            in: folder)
    }

    /// A rebuild that comes to its end.
    @discardableResult
    static func rebuild(
        _ service: String, _ flags: [String] = [], exits code: Int32 = 0, _ server: LocalRedisServer,
        _ folder: Folder
    ) async throws -> Report {
        let outcome = try await start(service, flags, server, folder).outcome()
        #expect(outcome.ending == .exited(code), "\(service) \(flags): \(outcome.errors) \(outcome.output)")
        return try JSONDecoder().decode(Report.self, from: Data(outcome.output.utf8))
    }

    static func execute(_ sql: [String], _ service: String, _ folder: Folder) async throws {
        try await RecordsDatabase.open(url: folder.databaseURL(of: service)).transaction { transaction in
            for sql in sql { try transaction.enqueue(sql) }
        }
    }

    /// All that a service's database has is gone.
    static func lose(_ service: String, _ folder: Folder, _ store: Store) async throws {
        switch store {
        case .sqlite:
            for ending in ["", "-wal", "-shm"] {
                unsafe unlink("\(folder.path)/data/\(service).db\(ending)")
            }
        case .postgres:
            try await execute(
                ["DROP SCHEMA shop_\(service) CASCADE", "CREATE SCHEMA shop_\(service)"], "provider", folder)
        }
    }

    /// What a rebuild could leave beside the tables in use.
    static func leftovers(_ service: String, _ folder: Folder, _ store: Store) async throws -> [String] {
        switch store {
        case .sqlite:
            return try FileManager.default.contentsOfDirectory(atPath: "\(folder.path)/data").filter {
                $0.hasPrefix("\(service).db.")
            }
        case .postgres:
            return try await WorkerTests.rows(
                "SELECT nspname AS name FROM pg_namespace WHERE nspname LIKE '%rebuild'", service, folder
            ).compactMap { $0["name"] }
        }
    }

    static func place(_ count: Int, _ server: LocalRedisServer, _ folder: Folder) async throws {
        let placed = try await Program.run(
            "shop", ["place", "--orders", folder.demoOrders(count), "--redis-url", server.url], in: folder)
        #expect(placed.ending == .exited(0), "\(placed.errors)")
    }

    static func settle(
        _ entries: Int, _ server: LocalRedisServer, _ client: RedisClient, _ folder: Folder
    ) async throws {
        try await eventually("all is settled") {
            try await ToolTests.isSettled(server, client, folder, entries: entries)
        }
    }

    static func stop(_ workers: [Running]) async throws {
        for worker in workers { worker.child.signal(SIGTERM) }
        for worker in workers {
            let outcome = try await worker.outcome(within: .seconds(60))
            #expect(outcome.ending == .exited(0), "\(outcome.errors)")
        }
    }
}
