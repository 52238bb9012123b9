internal import FoundationEssentials
internal import Glibc
internal import Hiredis
internal import Synchronization

extension SQLiteRecords: RebuildableRecords {
    func lockRebuilding() async throws -> any RebuildLock {
        try SQLiteRebuildLock(path: path + ".rebuild-lock")
    }

    func makeShadowPlace() async throws -> any ShadowPlace {
        let file = path + ".rebuild"
        SQLiteShadow.removeFiles(file)
        // Nothing of it has to outlive its process.
        let records = try SQLiteRecords(path: file, synchronous: "off", journal: "memory")
        return SQLiteShadow(records: records, file: file, liveFile: path)
    }
}

/// A file beside the one in use. Its rows are copied into the tables in use, whose definitions stay: both come of the same steps.
struct SQLiteShadow: ShadowPlace {
    let records: any Records
    let file: String
    let liveFile: String
    let live = "live."
    let made = "main."

    func attach() async throws {
        let liveFile = liveFile
        try await records.read { _ = try $0.execute("ATTACH DATABASE $1 AS live", .text(liveFile)) }
    }

    func detach() async { try? await records.read { _ = try $0.execute("DETACH DATABASE live") } }

    func check(_ transaction: any RecordsTransaction) throws {
        let virtual = try transaction.query(
            "SELECT name FROM main.sqlite_master WHERE type = 'table' AND sql LIKE 'CREATE VIRTUAL%'")
        if let name = virtual.first?.text("name") {
            throw RecordsError(.statement, "the virtual table '\(name)' cannot be made anew")
        }
    }

    func tables(in transaction: any RecordsTransaction) throws -> [ShadowTable] {
        try transaction.query(
            "SELECT name FROM main.sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name"
        ).compactMap { row in
            guard let name = row.text("name"), !InboxOutbox.tables.contains(name) else { return nil }
            let columns = try transaction.query(
                "SELECT name, pk FROM pragma_table_info($1, 'main') ORDER BY cid", .text(name))
            return ShadowTable(
                name: name, kind: .table,
                columns: columns.compactMap { $0.text("name") }.map { ($0, ShadowTable.quoted($0)) },
                key: columns.filter { $0.integer("pk") ?? 0 > 0 }
                    .sorted { $0.integer("pk") ?? 0 < $1.integer("pk") ?? 0 }.compactMap { $0.text("name") })
        }
    }

    /// The transaction has begun as one that writes to both files.
    func lockLive(_ tables: [ShadowTable], in transaction: any RecordsTransaction) throws {}

    func replace(_ tables: [ShadowTable], in transaction: any RecordsTransaction) throws {
        try transaction.execute("PRAGMA defer_foreign_keys = ON")
        // They have fired when the new rows came about.
        let triggers = try transaction.query(
            "SELECT name, tbl_name, sql FROM live.sqlite_master WHERE type = 'trigger'"
        )
        .filter { row in tables.contains { $0.name == row.text("tbl_name") } }
        for trigger in triggers {
            try transaction.execute("DROP TRIGGER live.\(ShadowTable.quoted(trigger.text("name") ?? ""))")
        }
        // All are emptied before one is filled: what is deleted takes with it what refers to it.
        for table in try Self.referringFirst(tables, in: transaction) {
            try transaction.execute("DELETE FROM live.\(table.quoted)")
        }
        for table in tables {
            let columns = table.columns.map(\.compared).joined(separator: ", ")
            try transaction.execute(
                "INSERT INTO live.\(table.quoted) (\(columns)) SELECT \(columns) FROM main.\(table.quoted)")
        }
        for trigger in triggers {
            let sql = (trigger.text("sql") ?? "").dropFirst("CREATE TRIGGER ".count)
            try transaction.execute("CREATE TRIGGER live.\(sql)")
        }
    }

    /// Each before those that it refers to: `RESTRICT` does not wait for the end of the transaction. Of those that refer to each
    /// other, as they come.
    private static func referringFirst(_ tables: [ShadowTable], in transaction: any RecordsTransaction) throws
        -> [ShadowTable]
    {
        var references: [String: Set<String>] = [:]
        for table in tables {
            let rows = try transaction.query(
                "SELECT \"table\" AS target FROM pragma_foreign_key_list($1, 'live')", .text(table.name))
            references[table.name] = Set(rows.compactMap { $0.text("target")?.lowercased() })
                .subtracting([table.name.lowercased()])
        }
        var (left, ordered) = (tables, [ShadowTable]())
        while !left.isEmpty {
            let index = left.firstIndex { table in
                !left.contains { references[$0.name]?.contains(table.name.lowercased()) == true }
            }
            ordered.append(left.remove(at: index ?? 0))
        }
        return ordered
    }

    /// Who writes is alone.
    func awaitReplacing(in transaction: any RecordsTransaction) throws {}

    func isPrepared(in transaction: any RecordsTransaction) throws -> Bool {
        try !transaction.query("SELECT 1 AS found FROM main.sqlite_master WHERE name = 'freshet_merge'")
            .isEmpty
    }

    func analyze(_ tables: [ShadowTable], in transaction: any RecordsTransaction) throws {}

    func mark(in live: any RecordsTransaction) throws -> Shadow.Mark {
        let row = try live.query(
            """
            SELECT (SELECT coalesce(max(rowid), 0) FROM inbox) AS inbox,
              coalesce((SELECT min(seq) FROM outbox WHERE published_at IS NULL),
                (SELECT max(seq) + 1 FROM outbox), 0) AS outbox
            """
        ).first
        return Shadow.Mark(inbox: row?.integer("inbox") ?? 0, outbox: row?.integer("outbox") ?? 0)
    }

    // Who writes is alone, so numbers rise with the commits.
    func inboxSince(_ mark: Shadow.Mark) -> String { "i.rowid > \(mark.inbox)" }
    func outboxSince(_ mark: Shadow.Mark) -> String { "o.seq >= \(mark.outbox)" }

    func remove() async { Self.removeFiles(file) }

    static func removeFiles(_ file: String) {
        for ending in ["", "-journal", "-wal", "-shm"] { unsafe unlink(file + ending) }
    }
}

/// The lock of a file that is removed with it.
private final class SQLiteRebuildLock: RebuildLock {
    private let descriptor: Guarded<Int32?>
    private let path: String

    init(path: String) throws(RecordsError) {
        self.path = path
        while true {
            let descriptor = unsafe open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0o644)
            guard descriptor >= 0 else {
                throw RecordsError(.cannotOpen, "cannot write '\(path)': error \(errno)")
            }
            guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
                close(descriptor)
                throw RecordsError(.busy, "another rebuild of this database is under way")
            }
            var (own, named) = (stat(), stat())
            // Whoever held it before may have removed it meanwhile.
            let found = unsafe (fstat(descriptor, &own), stat(path, &named))
            if found == (0, 0), own.st_ino == named.st_ino {
                self.descriptor = Guarded(descriptor)
                return
            }
            close(descriptor)
        }
    }

    func release() {
        descriptor.withLock { descriptor in
            guard let held = descriptor else { return }
            unsafe unlink(path)
            close(held)
            descriptor = nil
        }
    }

    deinit { release() }
}
