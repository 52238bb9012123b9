import Freshet
import FreshetRecords
import FreshetTesting
import Testing

/// How new tables take the place of those in use, and what keeps them from it.
@Suite struct ReplacingTests {
    private static let orders = [
        Migration(
            1, "orders",
            [
                "CREATE TABLE orders (id BIGINT PRIMARY KEY)",
                """
                CREATE TABLE lines (
                  order_id BIGINT NOT NULL REFERENCES orders (id) ON DELETE CASCADE, text TEXT NOT NULL)
                """,
                "CREATE TABLE parcels (order_id BIGINT NOT NULL REFERENCES orders (id) ON DELETE RESTRICT)",
            ])
    ]

    private static func withShadow(
        _ migrations: [Migration] = Scratch.tables, on store: Store,
        _ body: (ServiceRecords, Shadow) async throws -> Void
    ) async throws {
        try await Scratch.with(store) { scratch in
            let records = try await ServiceRecords(
                scratch.open(), source: "notes", migrations: migrations, on: nowhere())
            let shadow = try await Shadow.make(beside: records, for: "notes")
            try await body(records, shadow)
            await shadow.remove()
        }
    }

    private static func nothing(_: OpenTransaction) async throws -> (value: Void, publish: [FollowUp]) {
        ((), [])
    }

    @Test(arguments: Store.allCases)
    func `tables that refer to each other are replaced, and none takes another's new rows with it`(
        store: Store
    ) async throws {
        try await Self.withShadow(Self.orders, on: store) { live, shadow in
            for (database, numbers) in [(live.database, [1, 2]), (shadow.records, [2, 3, 4])] {
                try await database.transaction { transaction in
                    for number in numbers {
                        try transaction.execute("INSERT INTO orders VALUES ($1)", .integer(number))
                        try transaction.execute("INSERT INTO lines VALUES ($1, 'a')", .integer(number))
                        try transaction.execute("INSERT INTO lines VALUES ($1, 'b')", .integer(number))
                        try transaction.execute("INSERT INTO parcels VALUES ($1)", .integer(number))
                    }
                }
            }
            try await shadow.prepareToReplace()
            try await shadow.replace(Self.nothing)
            #expect(try await count("orders", in: live.database) == 3)
            #expect(try await count("lines", in: live.database) == 6)
            #expect(try await count("parcels", in: live.database) == 3)
            _ = try await live.database.transaction { transaction in
                try transaction.execute("DELETE FROM parcels")
                try transaction.execute("DELETE FROM orders WHERE id = 4")
            }
            #expect(try await count("lines", in: live.database) == 4, "they refer to each other as before")
        }
    }

    @Test(arguments: Store.allCases)
    func `tables that a newer program has changed meanwhile are not replaced`(store: Store) async throws {
        try await Self.withShadow(on: store) { live, shadow in
            _ = try await live.database.transaction { try $0.execute("INSERT INTO notes VALUES (1, 'live')") }
            try await shadow.prepareToReplace()
            let step = Migration(2, "authors", ["ALTER TABLE notes ADD COLUMN author TEXT"])
            try await live.database.migrate(Scratch.tables + [step], of: "notes")
            let error = await #expect(throws: RecordsError.self) { try await shadow.replace(Self.nothing) }
            #expect(error?.code == .tooNew)
            let rows = try await live.database.read { try $0.query("SELECT text, author FROM notes") }
            #expect(rows.map { $0.text("text") } == ["live"])
        }
    }

    @Test(arguments: Store.allCases)
    func `whether tables were replaced can be asked for afterwards`(store: Store) async throws {
        try await Self.withShadow(on: store) { _, shadow in
            try await shadow.prepareToReplace()
            #expect(try await !shadow.hasReplaced())
            await #expect(throws: Refused.self) {
                try await shadow.replace { _ -> (value: Void, publish: [FollowUp]) in throw Refused() }
            }
            #expect(try await !shadow.hasReplaced())
            try await shadow.replace(Self.nothing)
            #expect(try await shadow.hasReplaced())
        }
    }

    @Test(arguments: [true, false])
    func `a commit of which nobody knows is one when the database says so, and else may be tried again`(
        didCommit: Bool
    ) async throws {
        try await Scratch.with(.sqlite) { scratch in
            let database = Forgetful(records: try scratch.open())
            let result: Result<Int, any Error>
            do {
                result = .success(
                    try await OpenTransaction.with(database, didCommit: { didCommit }) { open in
                        _ = try await open.run { try $0.execute("CREATE TABLE notes (text TEXT)") }
                        return 7
                    })
            } catch { result = .failure(error) }
            switch result {
            case .success(let value): #expect(didCommit && value == 7)
            case .failure(let error): #expect(!didCommit && (error as? RecordsError)?.code == .busy)
            }
        }
    }
}

/// Loses its connection in the moment of each commit.
private struct Forgetful: Records {
    let records: any Records
    var dialect: SQLDialect { records.dialect }

    func transaction<Value: Sendable>(
        after first: [RecordsStatement],
        _ body: @escaping @Sendable (any RecordsTransaction, [Int]) throws -> Value
    ) async throws -> Value {
        _ = try await records.transaction(after: first, body)
        throw RecordsError(.unknownOutcome, "lost")
    }

    func read<Value: Sendable>(_ body: @escaping @Sendable (any RecordsTransaction) throws -> Value)
        async throws -> Value
    { try await records.read(body) }
}
