import FoundationEssentials
import Freshet
import FreshetRecords
import FreshetTesting
import Glibc
import InMemoryLogging
import Logging
import Testing

/// A database that is there and takes nothing.
@Suite struct OutageTests {
    /// Handles events while the database takes none; they are handled once it does, and the log says so once each time.
    private func outage(
        _ database: any Records, begin: () async throws -> Void, end: () async throws -> Void
    ) async throws {
        let log = InMemoryLogHandler()
        let records = try await ServiceRecords(
            database, source: "test", migrations: Scratch.tables, on: nowhere(),
            logger: Logger(label: "test", factory: { _ in log }))
        for round in 0..<2 {
            func said(_ text: String) -> Int { log.entries.filter { "\($0.message)" == text }.count }
            let before = said("waiting for the database")
            try await begin()
            let handled = Record<String>()
            let handlers = (0..<20).map { number in
                Task {
                    let id = "\(round)-\(number)"
                    // More in the second round than the write-ahead log has room for from the first.
                    let text = String(repeating: "x", count: 20_000 + round * 80_000)
                    try await records.handle(try Scratch.delivery(id)) {
                        try $0.execute("INSERT INTO notes VALUES (1, $1)", .text(text))
                    }
                    handled.add(id)
                }
            }
            try await eventually("it is said") { said("waiting for the database") > before }
            #expect(handled.count < 20)
            try await end()
            for handler in handlers { try await handler.value }
            try await eventually("it is said") {
                said("the database is back") == said("waiting for the database")
            }
            // Not by each of the twenty. A small commit that still has room ends it for a moment.
            #expect(said("waiting for the database") - before < 10)
            #expect(try await count("inbox", in: database) == 20 * (round + 1))
            #expect(try await count("notes", in: database) == 20 * (round + 1))
        }
    }

    @Test(.enabled(if: getuid() == 0, "a file system is mounted"))
    func `a disk that is full is waited for`() async throws {
        let folder = "/tmp/freshet-disk-\(String(UInt64.random(in: 0 ... .max), radix: 36))"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let (ending, text) = try await Programs.run(
            "/usr/bin/mount", ["-t", "tmpfs", "-o", "size=8m", "none", folder])
        try #require(ending == .exited(0), "\(text)")
        let filler = "\(folder)/filler"
        let result: Result<Void, any Error>
        do {
            try await outage(RecordsDatabase.open(url: "sqlite:\(folder)/notes.db")) {
                // Whatever fits, to the last block.
                _ = try await Programs.run("/usr/bin/dd", ["if=/dev/zero", "of=\(filler)", "bs=4096"])
            } end: {
                try FileManager.default.removeItem(atPath: filler)
            }
            result = .success(())
        } catch { result = .failure(error) }
        _ = try await Programs.run("/usr/bin/umount", ["-l", folder])
        try result.get()
    }

    @Test(.enabled(if: getuid() == 0, "a file system is mounted"))
    func `a file that may only be read is waited for`() async throws {
        let folder = "/tmp/freshet-disk-\(String(UInt64.random(in: 0 ... .max), radix: 36))"
        let (origin, mounted) = ("\(folder)/origin", "\(folder)/mounted")
        for path in [origin, mounted] {
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        }
        defer { try? FileManager.default.removeItem(atPath: folder) }
        func mount(_ options: String) async throws {
            let (ending, text) = try await Programs.run(
                "/usr/bin/mount", ["-t", "tmpfs", "-o", options, "none", mounted])
            try #require(ending == .exited(0), "\(text)")
        }
        try await mount("size=8m")
        let result: Result<Void, any Error>
        do {
            // As a process leaves its file that is killed: with its log beside it.
            let first = try await ServiceRecords(
                RecordsDatabase.open(url: "sqlite:\(origin)/notes.db"), source: "test",
                migrations: Scratch.tables,
                on: nowhere())
            try await first.handle(try Scratch.delivery("0")) {
                try $0.execute("INSERT INTO notes VALUES (0, '')")
            }
            let files = try FileManager.default.contentsOfDirectory(atPath: origin).map { "\(origin)/\($0)" }
            try #require(files.count == 3)
            let (copied, text) = try await Programs.run("/usr/bin/cp", files + [mounted])
            try #require(copied == .exited(0), "\(text)")
            try await mount("remount,ro")
            let database = try RecordsDatabase.open(url: "sqlite:\(mounted)/notes.db")
            for _ in 0..<2 {
                let error = await #expect(throws: RecordsError.self) {
                    try await database.transaction { try $0.execute("INSERT INTO notes VALUES (1, '')") }
                }
                #expect(error?.code == .unavailable, "\(String(describing: error))")
            }
            try await eventually("it can be read") { (try? await count("notes", in: database)) == 1 }
            try await mount("remount,rw")
            try await eventually("the same database takes writes") {
                (try? await database.transaction { try $0.execute("INSERT INTO notes VALUES (1, '')") }) == 1
            }
            #expect(try await count("notes", in: database) == 2)
            result = .success(())
        } catch { result = .failure(error) }
        _ = try await Programs.run("/usr/bin/umount", ["-l", mounted])
        try result.get()
    }

    @Test func `a PostgreSQL that may only be read is waited for`() async throws {
        try await withPostgres { server in
            let operators = try RecordsDatabase.open(
                url: server.url + "&options=-cdefault_transaction_read_only%3Doff")
            func set(_ value: String) async throws {
                _ = try await operators.read { operators in
                    try operators.execute("ALTER SYSTEM SET default_transaction_read_only = \(value)")
                    _ = try operators.query("SELECT pg_reload_conf()")
                }
            }
            let database = try RecordsDatabase.open(url: server.url)
            try await outage(database) {
                try await set("on")
                // Sessions hear of it one after the other: the one that writes has.
                try await eventually("it may only be read") {
                    let shown = try await database.transaction {
                        try $0.query("SHOW default_transaction_read_only")
                    }
                    return shown[0].text("default_transaction_read_only") == "on"
                }
            } end: {
                try await set("off")
            }
        }
    }
}
