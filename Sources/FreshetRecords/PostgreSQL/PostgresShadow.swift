extension PostgresRecords: RebuildableRecords {
    func lockRebuilding() async throws -> any RebuildLock {
        // With one connection that reads: the lock is that connection's.
        let holder = try PostgresRecords(url: url + "&pool=2")
        let isFree = try await holder.read { transaction in
            try transaction.query(
                "SELECT pg_try_advisory_lock(hashtextextended('freshet rebuild ' || current_schema(), 0)) AS free"
            )
        }
        guard isFree.first?["free"] == 1 else {
            throw RecordsError(.busy, "another rebuild of this database is under way")
        }
        return PostgresRebuildLock(holder)
    }

    func makeShadowPlace() async throws -> any ShadowPlace {
        let row = try await read { transaction in
            try transaction.query(
                """
                SELECT current_schema() AS live, left(current_schema(), 55) || '_rebuild' AS made,
                  array_to_string(ARRAY(SELECT quote_ident(name) FROM unnest(current_schemas(false)) AS name
                    WHERE name <> current_schema()), ', ') AS others
                """)
        }.first
        guard let live = row?.text("live"), let made = row?.text("made") else {
            throw RecordsError(.cannotOpen, "the database has no schema for the service's tables")
        }
        let (quoted, others) = (ShadowTable.quoted(made), row?.text("others") ?? "")
        try await transaction { transaction in
            try transaction.execute("DROP SCHEMA IF EXISTS \(quoted) CASCADE")
            try transaction.execute("CREATE SCHEMA \(quoted)")
        }
        let records = try PostgresRecords(
            url: url + "&pool=2",
            setup: [
                // What is in use must not be reached by a name alone.
                "SET search_path TO \(quoted)\(others.isEmpty ? "" : ", \(others)")",
                // Nothing of it has to outlive a crash, until it is put in place.
                "SET synchronous_commit TO off",
            ])
        return PostgresShadow(records: records, owner: self, liveSchema: live, madeSchema: made)
    }
}

private struct PostgresRebuildLock: RebuildLock {
    /// Ends with its connection.
    private let holder: PostgresRecords
    init(_ holder: PostgresRecords) { self.holder = holder }
    func release() async {
        _ = try? await holder.read { try $0.query("SELECT pg_advisory_unlock_all()").count }
    }
}

/// A schema beside the one in use. Its tables are moved into the place of those in use, which are dropped.
struct PostgresShadow: ShadowPlace {
    let records: any Records
    /// Those in use.
    let owner: any Records
    let liveSchema: String
    let madeSchema: String

    var live: String { ShadowTable.quoted(liveSchema) + "." }
    var made: String { ShadowTable.quoted(madeSchema) + "." }

    func attach() async throws {}
    func detach() async {}

    func check(_ transaction: any RecordsTransaction) throws {
        let others = try transaction.query(
            """
            SELECT proname AS name FROM pg_proc WHERE pronamespace = $1::regnamespace UNION ALL
            SELECT typname FROM pg_type WHERE typnamespace = $1::regnamespace AND typtype IN ('e', 'd', 'r')
            """, .text(ShadowTable.quoted(madeSchema)))
        if let name = others.first?.text("name") {
            throw RecordsError(
                .statement,
                "the service's steps make '\(name)', a type or function: only tables, views and sequences can be made anew"
            )
        }
    }

    func tables(in transaction: any RecordsTransaction) throws -> [ShadowTable] {
        try transaction.query(
            """
            SELECT relname AS name, relkind::text AS kind FROM pg_class c
            WHERE relnamespace = $1::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'S')
              AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.objid = c.oid AND d.classid = 'pg_class'::regclass
                AND c.relkind = 'S' AND d.deptype IN ('a', 'i'))
            ORDER BY relname
            """, .text(ShadowTable.quoted(madeSchema))
        ).compactMap { row in
            guard let name = row.text("name"), !InboxOutbox.tables.contains(name) else { return nil }
            let kind: ShadowTable.Kind =
                switch row.text("kind") {
                case "v": .view
                case "m": .materializedView
                case "S": .sequence
                default: .table
                }
            let place = RecordsValue.text(made + ShadowTable.quoted(name))
            let columns = try transaction.query(
                """
                SELECT attname AS name, atttypid IN ('json'::regtype, 'xml'::regtype) AS opaque FROM pg_attribute
                WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum
                """, place)
            let key = try transaction.query(
                """
                SELECT attname AS name FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = ANY (indkey)
                WHERE indrelid = $1::regclass AND indisprimary ORDER BY array_position(indkey::int2[], attnum)
                """, place)
            return ShadowTable(
                name: name, kind: kind,
                columns: columns.map { column in
                    let name = column.text("name") ?? ""
                    let quoted = ShadowTable.quoted(name)
                    return (name, column["opaque"] == 1 ? "\(quoted)::text AS \(quoted)" : quoted)
                },
                key: key.compactMap { $0.text("name") })
        }
    }

    /// First the inbox, which every handler's transaction begins with: those that have begun end before, and no other one begins.
    func lockLive(_ tables: [ShadowTable], in transaction: any RecordsTransaction) throws {
        try transaction.execute("SET LOCAL lock_timeout = '3s'")
        try transaction.execute("SET LOCAL synchronous_commit TO on")
        // Whoever migrates has this before any table, and waits here from now on.
        try transaction.lock("freshet migrations")
        try transaction.execute("LOCK TABLE \(live)inbox IN ACCESS EXCLUSIVE MODE")
        for table in tables where table.kind == .table {
            try transaction.execute("LOCK TABLE \(live)\(table.quoted) IN ACCESS EXCLUSIVE MODE")
        }
    }

    func replace(_ tables: [ShadowTable], in transaction: any RecordsTransaction) throws {
        let grants = try transaction.query(
            """
            SELECT relname AS name, privilege_type AS privilege, is_grantable AS passes,
              CASE WHEN grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END AS grantee
            FROM pg_class, aclexplode(relacl) WHERE relnamespace = $1::regnamespace
            """, .text(ShadowTable.quoted(liveSchema)))
        for (kind, word) in [
            (ShadowTable.Kind.materializedView, "MATERIALIZED VIEW"), (.view, "VIEW"), (.table, "TABLE"),
            (.sequence, "SEQUENCE"),
        ] {
            let names = tables.filter { $0.kind == kind }.map { live + $0.quoted }
            if !names.isEmpty { try transaction.execute("DROP \(word) \(names.joined(separator: ", "))") }
        }
        for table in tables {
            try transaction.execute(
                "ALTER TABLE \(made)\(table.quoted) SET SCHEMA \(ShadowTable.quoted(liveSchema))")
        }
        for grant in grants {
            guard let name = grant.text("name"), let table = tables.first(where: { $0.name == name }) else {
                continue
            }
            try transaction.execute(
                "GRANT \(grant.text("privilege") ?? "") ON \(live)\(table.quoted) TO \(grant.text("grantee") ?? "")"
                    + (grant["passes"] == 1 ? " WITH GRANT OPTION" : ""))
        }
    }

    func awaitReplacing(in transaction: any RecordsTransaction) throws {
        try transaction.execute("LOCK TABLE \(live)inbox IN ACCESS SHARE MODE")
    }

    func isPrepared(in transaction: any RecordsTransaction) throws -> Bool {
        try transaction.query(
            "SELECT to_regclass($1) IS NOT NULL AS found", .text(made + "freshet_merge")
        ).first?["found"] == 1
    }

    func analyze(_ tables: [ShadowTable], in transaction: any RecordsTransaction) throws {
        for table in tables + [ShadowTable(name: "inbox", kind: .table, columns: [], key: [])] {
            try transaction.execute("ANALYZE \(made)\(table.quoted)")
        }
    }

    func mark(in live: any RecordsTransaction) throws -> Shadow.Mark {
        let row = try live.query(
            "SELECT txid_snapshot_xmin(txid_current_snapshot()) % 4294967296 AS oldest")
        let oldest = row.first?.integer("oldest") ?? 0
        return Shadow.Mark(inbox: oldest, outbox: oldest)
    }

    // Whoever had not committed at the mark has a number that is no lower than that of the oldest of them.
    func inboxSince(_ mark: Shadow.Mark) -> String { "age(i.xmin) <= age('\(mark.inbox)'::xid)" }
    func outboxSince(_ mark: Shadow.Mark) -> String {
        "(o.published_at IS NULL OR age(o.xmin) <= age('\(mark.outbox)'::xid))"
    }

    func remove() async {
        let made = ShadowTable.quoted(madeSchema)
        _ = try? await owner.transaction { try $0.execute("DROP SCHEMA IF EXISTS \(made) CASCADE") }
    }
}
