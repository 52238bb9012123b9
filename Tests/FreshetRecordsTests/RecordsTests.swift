import FoundationEssentials
import Freshet
import FreshetRecords
import FreshetTesting
import Glibc
import Hiredis
import Testing

struct Noted: EventPayload, Equatable {
    static let eventType: EventType = "note.taken"
    let text: String
}

extension Topic {
    static let notes = Topic("notes")
}

struct Refused: Error {}

/// What records can stand in.
enum Store: CaseIterable {
    case sqlite, postgres
}

/// A database of one test, which several processes can open.
final class Scratch: Sendable {
    let url: String
    let server: LocalPostgres?

    private init(url: String, server: LocalPostgres?) { (self.url, self.server) = (url, server) }

    static func with(_ store: Store, _ body: (Scratch) async throws -> Void) async throws {
        switch store {
        case .postgres: try await withPostgres { try await body(Scratch(url: $0.url, server: $0)) }
        case .sqlite:
            let folder = "/tmp/freshet-records-\(String(UInt64.random(in: 0 ... .max), radix: 36))"
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            defer { try? FileManager.default.removeItem(atPath: folder) }
            try await body(Scratch(url: "sqlite:\(folder)/notes.db", server: nil))
        }
    }

    func open() throws -> any Records { try RecordsDatabase.open(url: url) }

    static let tables = [
        Migration(1, "notes", ["CREATE TABLE notes (id BIGINT NOT NULL, text TEXT NOT NULL)"])
    ]

    static func delivery(_ id: String, group: GroupName = "notes") throws -> Delivery {
        Delivery(event: try Event(Noted(text: id), source: "test", id: id), group: group, topic: "notes")
    }
}

func count(_ table: String, in database: any Records) async throws -> Int64 {
    try await database.read { try $0.query("SELECT count(*) AS n FROM \(table)") }[0].integer("n") ?? -1
}

/// A broker that nothing is sent to.
func nowhere() -> Broker { Broker(RedisClient(RedisConfiguration(address: .unix(path: "/none")))) }

@Suite struct RecordsTests {
    @Test(arguments: Store.allCases) func `an event's effects happen once, and a failed handler's not at all`(
        store: Store
    ) async throws {
        try await Scratch.with(store) { scratch in
            let database = try scratch.open()
            let records = try await ServiceRecords(
                database, source: "test", migrations: Scratch.tables, on: nowhere())
            let delivery = try Scratch.delivery("a")
            await #expect(throws: Refused.self) {
                try await records.handle(delivery) {
                    try $0.execute("INSERT INTO notes VALUES (1, 'a')")
                    try $0.publish(Noted(text: "b"), to: .notes, key: nil)
                    throw Refused()
                }
            }
            #expect(try await count("notes", in: database) == 0)
            #expect(try await count("inbox", in: database) == 0)
            #expect(try await records.hasHandled(delivery) == false)
            for expected in [ServiceRecords.Handled.applied, .duplicate, .duplicate] {
                let handled = try await records.handle(delivery) {
                    try $0.execute("INSERT INTO notes VALUES (1, 'a')")
                    try $0.publish(Noted(text: "b"), to: .notes, key: nil)
                }
                #expect(handled == expected)
            }
            #expect(try await count("notes", in: database) == 1)
            #expect(try await count("outbox", in: database) == 1)
            #expect(try await records.hasHandled(delivery))
            let other = try Scratch.delivery("a", group: "other")
            #expect(try await records.handle(other) { _ in } == .applied)
        }
    }

    @Test(arguments: Store.allCases)
    func `a batch has its effects in one transaction, without those that were handled before, or none`(
        store: Store
    )
        async throws
    {
        try await Scratch.with(store) { scratch in
            let records = try await ServiceRecords(
                scratch.open(), source: "test", migrations: Scratch.tables, on: nowhere())
            func batch(_ ids: [String]) throws -> [BatchedEvent<Noted>] {
                try ids.map { BatchedEvent(payload: Noted(text: $0), delivery: try Scratch.delivery($0)) }
            }
            @Sendable func note(_ noted: Noted, _ effects: Effects) throws {
                guard noted.text != "bad" else { throw Refused() }
                try effects.execute("INSERT INTO notes VALUES (1, $1)", .text(noted.text))
                try effects.publish(noted, to: .notes, key: nil)
            }
            func notes() async throws -> [String?] {
                try await records.database.read {
                    try $0.query("SELECT text FROM notes ORDER BY text").map { $0.text("text") }
                }
            }
            _ = try await records.handle(try Scratch.delivery("b")) { try note(Noted(text: "b"), $0) }
            let handled = try await records.handle(batch(["a", "b", "c", "a"]), note)
            #expect(handled == [.applied, .duplicate, .applied, .duplicate])
            #expect(try await notes() == ["a", "b", "c"])
            await #expect(throws: Refused.self) { try await records.handle(batch(["d", "bad", "e"]), note) }
            #expect(try await notes() == ["a", "b", "c"])
            #expect(try await records.handle(batch(["d"]), note) == [.applied])
            #expect(try await records.handle(batch([]), note).isEmpty)
            #expect(try await count("inbox", in: records.database) == 4)
            #expect(try await count("outbox", in: records.database) == 4)
        }
    }

    @Test(arguments: Store.allCases)
    func `a batch of which one event fails is committed without it by the subscription`(store: Store)
        async throws
    {
        try await Scratch.with(store) { scratch in
            try await withRedisServer { server in
                let client = RedisClient(try RedisConfiguration(url: server.url))
                defer { client.close() }
                let broker = Broker(client, namespace: "test")
                let records = try await ServiceRecords(
                    scratch.open(), source: "test", migrations: Scratch.tables, on: broker)
                for number in 0..<20 {
                    _ = try await Publisher(to: .notes, on: broker).publish(
                        try Event(
                            Noted(text: number == 7 ? "bad" : "\(number)"), source: "test", id: "\(number)"))
                }
                var options = SubscriptionOptions()
                options.retry.maximumAttempts = 2
                options.retry.base = .milliseconds(1)
                let sizes = Record<Int>()
                let subscription = Subscription(to: .notes, group: "notes", on: broker, options: options) {
                    OnBatch(Noted.self, upTo: 10, within: .milliseconds(50)) { events in
                        sizes.add(events.count)
                        try await records.handle(events) { noted, effects in
                            if noted.text == "bad" { throw Refused() }
                            try effects.execute("INSERT INTO notes VALUES (1, $1)", .text(noted.text))
                        }
                    }
                }
                try await running(subscription) {
                    try await eventually("one is dead") {
                        try await broker.deadLetterCount(of: "notes", topic: .notes) == 1
                    }
                    try await eventually("the others are noted") {
                        try await count("notes", in: records.database) == 19
                    }
                }
                #expect(sizes.all.contains(10), "\(sizes.all)")
                #expect(try await count("inbox", in: records.database) == 19)
            }
        }
    }

    @Test(arguments: Store.allCases) func `an event that is delivered many times at once is handled once`(
        store: Store
    ) async throws {
        try await Scratch.with(store) { scratch in
            let processes = try await withThrowingTaskGroup(of: ServiceRecords.self) { tasks in
                for _ in 0..<2 {
                    tasks.addTask {
                        try await ServiceRecords(
                            scratch.open(), source: "test", migrations: Scratch.tables, on: nowhere())
                    }
                }
                return try await tasks.reduce(into: []) { $0.append($1) }
            }
            let applied = Record<String>()
            try await withThrowingTaskGroup(of: Void.self) { tasks in
                for number in 0..<200 {
                    let (id, records) = ("\(number % 10)", processes[number % 2])
                    tasks.addTask {
                        let handled = try await records.handle(try Scratch.delivery(id)) {
                            try $0.enqueue("INSERT INTO notes VALUES ($1, '')", .integer(number % 10))
                        }
                        if handled == .applied { applied.add(id) }
                    }
                }
                try await tasks.waitForAll()
            }
            #expect(applied.count == 10)
            #expect(try await count("notes", in: processes[0].database) == 10)
        }
    }

    @Test(arguments: Store.allCases) func `transactions that share a commit fail alone`(store: Store)
        async throws
    {
        try await Scratch.with(store) { scratch in
            let database = try scratch.open()
            try await database.migrate(Scratch.tables, of: "test")
            let failed = try await withThrowingTaskGroup(of: Int.self) { tasks in
                for number in 0..<600 {
                    tasks.addTask {
                        do {
                            try await database.transaction {
                                try $0.execute("INSERT INTO notes VALUES ($1, 'x')", .integer(number))
                                if number % 7 == 0 { throw Refused() }
                            }
                            return 0
                        } catch is Refused { return 1 }
                    }
                }
                return try await tasks.reduce(0, +)
            }
            #expect(failed == 86)
            #expect(try await count("notes", in: database) == 514)
            #expect(try await count("(SELECT DISTINCT id FROM notes) AS ids", in: database) == 514)
        }
    }

    @Test(arguments: Store.allCases)
    func `when a shared commit fails, each transaction has the outcome that it has alone`(store: Store)
        async throws
    {
        try await Scratch.with(store) { scratch in
            let database = try scratch.open()
            try await database.transaction {
                try $0.execute("CREATE TABLE parents (id BIGINT PRIMARY KEY)")
                try $0.execute(
                    """
                    CREATE TABLE children (id BIGINT PRIMARY KEY, parent BIGINT
                      REFERENCES parents (id) DEFERRABLE INITIALLY DEFERRED)
                    """)
            }
            for round in 0..<30 {
                // Holds the line while the others gather behind it.
                async let first: Void = database.transaction { _ in usleep(3000) }
                // An orphan, which only the commit refuses, and one that collides with it while it stands there.
                async let orphan = outcome(of: database) {
                    try $0.execute("INSERT INTO children VALUES ($1, 999)", .integer(round))
                }
                async let collider = outcome(of: database) {
                    try $0.execute("INSERT INTO children VALUES ($1, NULL)", .integer(round))
                }
                try await first
                let (orphaned, collided) = (await orphan, await collider)
                #expect(!orphaned, "round \(round): an orphan was committed")
                #expect(collided, "round \(round): what was committed was reported as failed")
            }
            #expect(try await count("children", in: database) == 30)
        }
    }

    /// Whether the transaction says that it was committed.
    private func outcome(
        of database: any Records, _ body: @escaping @Sendable (any RecordsTransaction) throws -> Void
    ) async -> Bool {
        do {
            try await database.transaction(body)
            return true
        } catch {
            return false
        }
    }

    @Test(arguments: Store.allCases) func `two processes' connections may write to one file at the same time`(
        store: Store
    ) async throws {
        try await Scratch.with(store) { scratch in
            let databases = try [scratch.open(), scratch.open()]
            try await withThrowingTaskGroup(of: Void.self) { tasks in
                for database in databases {
                    tasks.addTask { () async throws -> Void in
                        try await database.migrate(Scratch.tables, of: "test")
                    }
                }
                try await tasks.waitForAll()
            }
            try await withThrowingTaskGroup(of: Void.self) { tasks in
                for number in 0..<400 {
                    let database = databases[number % 2]
                    tasks.addTask { () async throws -> Void in
                        _ = try await database.transaction {
                            try $0.execute("INSERT INTO notes VALUES ($1, 'x')", .integer(number))
                        }
                    }
                }
                try await tasks.waitForAll()
            }
            #expect(try await count("notes", in: databases[0]) == 400)
        }
    }

    @Test(arguments: Store.allCases)
    func `values come back as they went in, and a parameter may appear twice`(store: Store) async throws {
        try await Scratch.with(store) { scratch in
            let database = try scratch.open()
            let row = try await database.transaction { transaction in
                try transaction.execute(
                    "CREATE TABLE v (i BIGINT, r DOUBLE PRECISION, t TEXT, b \(database.dialect.bytesColumn), n TEXT)"
                )
                try transaction.execute(
                    "INSERT INTO v VALUES ($1, $2, $3, $4, $5)", .integer(Int64.max), .real(0.5), "grün 🎈",
                    .bytes([0, 255, 10]), .null)
                return try transaction.query("SELECT *, $1 AS again, $1 AS more FROM v WHERE i > $2", "x", 5)[
                    0]
            }
            #expect(row.integer("i") == Int64.max && row["r"] == .real(0.5) && row.text("t") == "grün 🎈")
            #expect(row.bytes("b") == [0, 255, 10] && row["n"] == .null && row["none"] == .null)
            #expect(row.text("again") == "x" && row.text("more") == "x")
            // Nothing is not null.
            let empty = try await database.transaction { transaction in
                try transaction.execute("INSERT INTO v (i, t, b) VALUES (0, $1, $2)", "", .bytes([]))
                return try transaction.query("SELECT * FROM v WHERE i = $1", 0)[0]
            }
            #expect(empty.text("t")?.isEmpty == true && empty.bytes("b")?.isEmpty == true)
            let error = await #expect(throws: RecordsError.self) {
                try await database.transaction { try $0.execute("INSERT INTO v (t) VALUES ($1)") }
            }
            #expect(error?.code == .statement)
        }
    }

    @Test(arguments: Store.allCases)
    func `a database that is newer than the program is refused, and one that cannot be opened says so`(
        store: Store
    )
        async throws
    {
        try await Scratch.with(store) { scratch in
            let database = try scratch.open()
            try await database.migrate(Scratch.tables + [Migration(2, "more", [])], of: "test")
            try await database.migrate(Scratch.tables + [Migration(2, "more", [])], of: "test")
            let error = await #expect(throws: RecordsError.self) {
                try await database.migrate(Scratch.tables, of: "test")
            }
            #expect(error?.code == .tooNew)
            let closed = #expect(throws: RecordsError.self) { try SQLiteRecords(path: "/proc/none/x.db") }
            #expect(closed?.code == .cannotOpen)
            #expect(throws: RecordsError.self) { try RecordsDatabase.open(url: "mysql:x") }
            #expect(throws: RecordsError.self) {
                try RecordsDatabase.open(url: "sqlite:x.db?synchronous=maybe")
            }
        }
    }
}
