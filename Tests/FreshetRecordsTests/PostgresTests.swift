import FoundationEssentials
import Freshet
import FreshetRecords
import FreshetTesting
import Glibc
import Testing

/// What only PostgreSQL does: transactions beside each other, and a server that goes away.
@Suite struct PostgresTests {
    private func table(_ database: any Records) async throws {
        try await database.transaction { transaction in
            try transaction.execute("CREATE TABLE tallies (id BIGINT PRIMARY KEY, n BIGINT NOT NULL)")
            try transaction.execute("INSERT INTO tallies VALUES (1, 0), (2, 0)")
        }
    }

    private func tallies(_ database: any Records) async throws -> [Int64?] {
        try await database.read { try $0.query("SELECT n FROM tallies ORDER BY id").map { $0.integer("n") } }
    }

    @Test func `numbers of all types are numbers, and a sum of whole numbers is one`() async throws {
        try await withPostgres { server in
            let row = try await RecordsDatabase.open(url: server.url).read { transaction in
                try transaction.query(
                    """
                    SELECT 1::smallint AS s, 2 AS i, 3::bigint AS b, 0.5::real AS r, 0.25::double precision AS d,
                      sum(x) AS sum, 1.5::numeric AS n, true AS t FROM (VALUES (4), (5)) AS v (x)
                    """)[0]
            }
            #expect(row["s"] == 1 && row["i"] == 2 && row["b"] == 3 && row["sum"] == 9 && row["t"] == 1)
            #expect(row["r"] == .real(0.5) && row["d"] == .real(0.25) && row["n"] == .real(1.5))
        }
    }

    @Test func `what is locked by name is read and written by one transaction at a time`() async throws {
        try await withPostgres { server in
            let databases = try (0..<3).map { _ in try RecordsDatabase.open(url: server.url) }
            try await table(databases[0])
            try await withThrowingTaskGroup(of: Void.self) { tasks in
                for number in 0..<300 {
                    tasks.addTask {
                        try await databases[number % 3].transaction { transaction in
                            try transaction.lock("tally")
                            let n =
                                try transaction.query("SELECT n FROM tallies WHERE id = 1")[0].integer("n")
                                ?? 0
                            try transaction.enqueue("UPDATE tallies SET n = $1 WHERE id = 1", .integer(n + 1))
                        }
                    }
                }
                try await tasks.waitForAll()
            }
            #expect(try await tallies(databases[0]) == [300, 0])
        }
    }

    @Test func `transactions that wait for each other are run again, and each counts once`() async throws {
        try await withPostgres(LocalPostgres(options: ["-c", "deadlock_timeout=20ms"])) { server in
            let databases = try (0..<2).map { _ in try RecordsDatabase.open(url: server.url) }
            try await table(databases[0])
            let (runs, holding) = (Record<Int>(), Record<Int>())
            try await withThrowingTaskGroup(of: Void.self) { tasks in
                for number in [1, 2] {
                    tasks.addTask {
                        try await databases[number - 1].transaction { transaction in
                            runs.add(number)
                            let sql = "UPDATE tallies SET n = n + 1 WHERE id = $1"
                            try transaction.execute(sql, .integer(number))
                            holding.add(number)
                            // Both have their first row, and want the other's.
                            for _ in 0..<5000 where holding.count < 2 { usleep(1000) }
                            try transaction.execute(sql, .integer(3 - number))
                        }
                    }
                }
                try await tasks.waitForAll()
            }
            #expect(try await tallies(databases[0]) == [2, 2])
            #expect(runs.count > 2, "none was in the other's way")
        }
    }

    @Test func `what a statement changed is its own, however many texts there were before`() async throws {
        try await withPostgres { server in
            let database = try RecordsDatabase.open(url: server.url)
            try await table(database)
            // More than are kept prepared.
            for number in 0..<1100 {
                let changes = try await database.transaction(after: [
                    RecordsStatement("UPDATE tallies SET n = $1 WHERE id = 1", .integer(number)),
                    RecordsStatement("UPDATE tallies SET n = \(number) WHERE id = 3"),
                ]) { _, changes in changes }
                guard changes == [1, 0] else {
                    Issue.record("after \(number) texts: \(changes)")
                    return
                }
            }
        }
    }

    @Test func `a text with a NUL is refused, and not cut off`() async throws {
        try await withPostgres { server in
            let database = try RecordsDatabase.open(url: server.url)
            try await table(database)
            let error = await #expect(throws: RecordsError.self) {
                try await database.transaction {
                    try $0.execute("UPDATE tallies SET n = length($1)", .text("a\0b"))
                }
            }
            #expect(error?.code == .statement)
            #expect(try await tallies(database) == [0, 0])
        }
    }

    @Test func `who listens is told of what others commit, each schema for itself, until the task ends`()
        async throws
    {
        try await withPostgres { server in
            let operators = try RecordsDatabase.open(url: server.url)
            _ = try await operators.transaction { try $0.execute("CREATE SCHEMA other") }
            let elsewhere = try RecordsDatabase.open(url: server.url + "&options=-csearch_path%3Dother")
            let notices = Record<Int>()
            let announcement = try #require(operators.dialect.announcement)
            func commit(_ database: any Records, rolledBack: Bool = false) async throws {
                do {
                    try await database.transaction { transaction in
                        try transaction.enqueue(announcement.sql, announcement.values)
                        if rolledBack { throw Refused() }
                    }
                } catch is Refused {}
            }
            let listener = Task {
                try await RecordsDatabase.open(url: server.url).listen { notices.add(0) }
            }
            try await eventually("it listens") { notices.count == 1 }
            try await commit(operators, rolledBack: true)
            try await commit(elsewhere)
            try await commit(operators)
            try await eventually("it is told") { notices.count > 1 }
            #expect(notices.count == 2)
            listener.cancel()
            try await listener.value

            let cut = Task { try await RecordsDatabase.open(url: server.url).listen { notices.add(0) } }
            try await eventually("it listens") { notices.count == 3 }
            await server.kill()
            let error = await #expect(throws: RecordsError.self) { try await cut.value }
            #expect(error?.code == .unavailable)
        }
    }

    @Test func `a server that crashes fails what is under way and nothing later`() async throws {
        try await withPostgres { server in
            let database = try RecordsDatabase.open(url: server.url)
            try await table(database)
            await server.kill()
            let error = await #expect(throws: RecordsError.self) {
                _ = try await database.transaction { try $0.execute("UPDATE tallies SET n = 1") }
            }
            #expect(error?.code == .unavailable)
            try await server.start()
            _ = try await database.transaction { try $0.execute("UPDATE tallies SET n = n + 1") }
            #expect(try await tallies(database) == [1, 1])
        }
    }

    @Test func `an owner that stands still within its transaction cannot commit after a take-over`()
        async throws
    {
        try await withPostgres { server in
            let url = server.url + "&options=-c%20idle_in_transaction_session_timeout%3D500ms"
            let frozen = try await ServiceRecords(
                RecordsDatabase.open(url: url), source: "test", migrations: Scratch.tables, on: nowhere())
            let heir = try await ServiceRecords(
                RecordsDatabase.open(url: server.url), source: "test", migrations: Scratch.tables,
                on: nowhere())
            func raise(_ records: ServiceRecords, _ owner: ConsumerName) async throws -> PartitionClaim {
                PartitionClaim(
                    owner: owner,
                    epoch: try await records.raise(topic: "notes", group: "a", partition: 0, owner: owner))
            }
            let claim = try await raise(frozen, "one")
            let delivery = Delivery(
                event: try Event(Noted(text: "a"), source: "test", id: "a"), group: "a", topic: "notes",
                claim: claim)
            let started = Record<Int>()
            let outcome = Task {
                try await frozen.handle(delivery) { effects in
                    started.add(1)
                    // Once: run again, it finds that it has lost its partition.
                    if started.count == 1 { usleep(2_000_000) }
                    try effects.execute("INSERT INTO notes VALUES (1, 'a')")
                }
            }
            try await eventually("it has read its epoch") { started.count == 1 }
            // It waits until the server has ended the transaction that read the old one.
            _ = try await raise(heir, "two")
            await #expect(throws: StaleOwner.self) { try await outcome.value }
            #expect(try await count("notes", in: heir.database) == 0)
        }
    }

    @Test func `who is cancelled does not wait for a transaction that does`() async throws {
        try await withPostgres { server in
            let database = try RecordsDatabase.open(url: server.url)
            try await table(database)
            let (begun, finish) = (Record<Int>(), Record<Int>())
            let slow = Task {
                try await database.transaction { _ in
                    begun.add(0)
                    while finish.count == 0 { usleep(1_000) }
                }
            }
            defer { finish.add(0) }
            try await eventually("it has begun") { begun.count > 0 }
            let waiting = Task {
                try await database.transaction { try $0.execute("UPDATE tallies SET n = 5") }
            }
            try await Task.sleep(for: .milliseconds(100))
            waiting.cancel()
            await #expect(throws: CancellationError.self) { try await waiting.value }
            finish.add(0)
            try await slow.value
            #expect(try await tallies(database) == [0, 0], "it did not start, and does not any more")
        }
    }

    @Test func `TLS is as strict as the URL's sslmode`() async throws {
        let certificates = try await TestCertificates()
        let folder = "/tmp/freshet-pgtls-\(String(UInt64.random(in: 0 ... .max), radix: 36))"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        var options: [String] = []
        let port = freePort()
        for (setting, path) in [
            ("ssl_cert_file", certificates.server.certificate), ("ssl_key_file", certificates.server.key),
        ] {
            let copy = "\(folder)/\(setting)"
            try FileManager.default.copyItem(atPath: path, toPath: copy)
            unsafe chmod(copy, 0o600)
            // The server does not run as root, and wants its key to itself.
            if getuid() == 0 { _ = try await Programs.run("/usr/bin/chown", ["postgres", copy]) }
            options += ["-c", "\(setting)=\(copy)"]
        }
        // The last of a setting counts.
        options += ["-c", "ssl=on", "-c", "listen_addresses=127.0.0.1", "-c", "port=\(port)"]
        try await withPostgres(LocalPostgres(options: options)) { _ in
            func uses(_ query: String) async throws -> String? {
                let url = "postgres://freshet@127.0.0.1:\(port)/postgres?\(query)"
                return try await RecordsDatabase.open(url: url).read {
                    try $0.query("SELECT ssl::text AS ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
                }.first?.text("ssl")
            }
            let authority = "sslrootcert=\(certificates.authority)"
            let strict = try await uses("sslmode=verify-full&\(authority)")
            let (encrypted, plain) = (try await uses("sslmode=require"), try await uses("sslmode=disable"))
            #expect((strict, encrypted, plain) == ("true", "true", "false"))
            for wrong in [
                "sslmode=verify-full&sslrootcert=\(certificates.strangersAuthority)",
                "sslmode=verify-full&sslrootcert=/none.pem",
                // A certificate for localhost and 127.0.0.1.
                "sslmode=verify-full&\(authority)&host=elsewhere.example&hostaddr=127.0.0.1",
            ] {
                let error = await #expect(throws: RecordsError.self) { _ = try await uses(wrong) }
                #expect(error?.code == .cannotOpen, "\(wrong): \(String(describing: error))")
            }
        }
    }

    @Test func `what waiting does not cure is told from what it does`() async throws {
        try await withPostgres { server in
            func error(_ url: String) async -> RecordsError? {
                await #expect(throws: RecordsError.self) {
                    try await RecordsDatabase.open(url: url).read { _ = try $0.query("SELECT 1") }
                }
            }
            let wrong = await error(server.url(of: "nowhere"))
            #expect(wrong?.code == .cannotOpen)
            #expect(wrong?.description.contains("nowhere") == true)
            #expect(await error("postgres://freshet@/postgres?host=/none")?.code == .unavailable)
            let pool = #expect(throws: RecordsError.self) {
                try RecordsDatabase.open(url: server.url + "&pool=1")
            }
            #expect(pool?.code == .invalidURL)
        }
    }
}
