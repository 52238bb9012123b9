internal import FreshetRecords

/// The shop's schemas in a PostgreSQL database: each round begins without any.
struct DemoSchemas: Sendable {
    private let database: any Records
    private static let names = ["order", "customer", "payment", "provider"].map { "shop_\($0)" }

    init(url: String) throws { database = try RecordsDatabase.open(url: url) }

    /// Throws when there is one: it is someone's shop.
    func checkAbsent() async throws {
        let present = try await database.read { transaction in
            try transaction.query("SELECT schema_name FROM information_schema.schemata")
                .compactMap { $0.text("schema_name") }
        }
        if let name = Self.names.first(where: present.contains) {
            throw BenchError("the database has a schema '\(name)' already: name one without a shop in it")
        }
    }

    /// The process that the server's others are children of; nil when it runs on another machine.
    func server() async throws -> Int32? {
        let rows = try await database.read { try $0.query("SELECT pg_backend_pid() AS pid") }
        let backend = rows.first?.integer("pid").flatMap { ThreadTime(path: "/proc/\($0)/stat") }
        return backend?.name == "postgres" ? backend?.parent : nil
    }

    func drop() async throws {
        try await database.transaction { transaction in
            // Each table that goes would be a line on standard error.
            try transaction.execute("SET LOCAL client_min_messages = warning")
            for name in Self.names { try transaction.execute("DROP SCHEMA IF EXISTS \(name) CASCADE") }
        }
    }
}
