import FoundationEssentials
import Freshet
import FreshetRecords
import FreshetTesting
import Hiredis
import Testing

/// Each finding provoked on a server, and absent where nothing is wrong.
@Suite struct DoctorTests {
    private struct Row: Decodable {
        let severity, check, subject, problem, remedy: String
        var word: String { "\(severity) \(check)" }
    }

    /// A server as it should be: it writes to its disk, and evicts nothing.
    private static func withSoundServer(
        _ options: [String] = [], _ body: (Rig) async throws -> Void
    ) async throws {
        let server = LocalRedisServer(
            appendOnly: true, options: ["--maxmemory", "500mb", "--maxmemory-policy", "noeviction"] + options)
        try await Rig.with(server) { rig in
            try await rig.publish(1...5)
            try await rig.createGroup()
            try await rig.redis(
                "HSET", "test:topic:{orders}", "partitions", 1, "kind", "log", "start:payment:0", "0-0")
            try await body(rig)
        }
    }

    /// What is found above info, and the exit code.
    private static func findings(_ rig: Rig, _ arguments: String..., environment: [String: String] = [:])
        async throws -> (rows: [Row], exitCode: Int32?)
    {
        let outcome = try await rig.start(
            "freshet", ["doctor", "--format", "json"] + arguments,
            // On a busy machine a test takes longer than a lease.
            environment: ["FRESHET_LEASE": "3600"].merging(environment) { $1 }
        ).outcome()
        let rows = try outcome.json([Row].self)
        #expect(rows.allSatisfy { !$0.problem.isEmpty && !$0.remedy.isEmpty && !$0.subject.isEmpty })
        return (rows, outcome.exitCode)
    }

    private static func above(_ rows: [Row]) -> [String] {
        rows.filter { $0.severity != "info" }.map(\.word).sorted()
    }

    /// Has a consumer that lives, and all that is waiting settled.
    private static func settle(_ rig: Rig) async throws {
        try await rig.redis(
            "XREADGROUP", "GROUP", "payment", "c", "COUNT", 5, "STREAMS", "test:events:{orders:0}", ">")
        for number in 1...5 {
            try await rig.redis("XACK", "test:events:{orders:0}", "payment", "\(number)-0")
        }
    }

    @Test func `where nothing is wrong nothing is found, as a table and as JSON`() async throws {
        try await Self.withSoundServer { rig in
            try await Self.settle(rig)
            let found = try await Self.findings(rig)
            #expect(Self.above(found.rows) == [] && found.exitCode == 0)
            #expect(found.rows.map(\.word) == ["info replication"])
            let table = try await rig.run("freshet", "doctor", "--lease", "1h")
            #expect(table.exitCode == 0 && table.errors == "Nothing is wrong.\n")
            #expect(table.lines.count == 2 && table.lines[1].hasPrefix("          -> "))
            #expect(
                table.lines[0].hasPrefix("INFO      server: there is no replica")
                    && table.lines[0].hasSuffix("[replication]"))
        }
    }

    @Test func `a server that evicts or writes nothing to its disk is found`() async throws {
        try await Self.withSoundServer { rig in
            try await Self.settle(rig)
            try await rig.redis("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
            let evicting = try await Self.findings(rig)
            #expect(Self.above(evicting.rows) == ["critical eviction-policy"] && evicting.exitCode == 2)
            #expect(evicting.rows[0].remedy.contains("CONFIG SET maxmemory-policy noeviction"))
            try await rig.redis("CONFIG", "SET", "maxmemory", "0")
            #expect(Self.above(try await Self.findings(rig).rows) == ["warning eviction-policy"])
            try await rig.redis("CONFIG", "SET", "maxmemory-policy", "noeviction")
            try await rig.redis("CONFIG", "SET", "appendonly", "no")
            #expect(Self.above(try await Self.findings(rig).rows) == ["critical persistence"])
            try await rig.redis("CONFIG", "SET", "save", "3600 1")
            let snapshots = try await Self.findings(rig)
            #expect(Self.above(snapshots.rows) == ["warning persistence"] && snapshots.exitCode == 1)
        }
    }

    @Test func `memory that is used up, and replicas that are waited for, are found`() async throws {
        try await Self.withSoundServer { rig in
            try await Self.settle(rig)
            let used = try await rig.redis("INFO", "memory").string ?? ""
            let bytes = used.split(separator: "\r\n").compactMap { line -> Int? in
                line.hasPrefix("used_memory:") ? Int(line.dropFirst(12)) : nil
            }
            try await rig.redis("CONFIG", "SET", "maxmemory", "\((bytes.first ?? 0) * 11 / 10)")
            let found = try await Self.findings(rig).rows
            #expect(
                found.map(\.check).contains("memory")
                    && found.first?.problem.contains("% of maxmemory") == true)
            try await rig.redis("CONFIG", "SET", "maxmemory", "500mb")
            try await rig.redis("HSET", "test:topic:{orders}", "durability", "replicated 1 within 500ms")
            #expect(Self.above(try await Self.findings(rig).rows) == ["critical replication"])
        }
    }

    @Test func `a dead consumer that holds events is found, and one that lives is not`() async throws {
        try await Self.withSoundServer { rig in
            try await rig.redis(
                "XREADGROUP", "GROUP", "payment", "c-1", "COUNT", 2, "STREAMS", "test:events:{orders:0}", ">")
            #expect(Self.above(try await Self.findings(rig).rows) == [])
            try await eventually("its lease is over") {
                try await Self.findings(rig, "--lease", "10ms").exitCode == 1
            }
            let rows = try await Self.findings(rig, "--lease", "10ms").rows
            #expect(Self.above(rows) == ["warning dead-consumer", "warning no-consumers"])
            #expect(rows[0].problem.contains("'c-1'") && rows[0].problem.contains("holds 2 events"))
        }
    }

    @Test func `what someone else cut off is found: unread, and while it was held`() async throws {
        try await Self.withSoundServer { rig in
            try await rig.redis(
                "XREADGROUP", "GROUP", "payment", "c-1", "COUNT", 2, "STREAMS", "test:events:{orders:0}", ">")
            try await rig.redis("XTRIM", "test:events:{orders:0}", "MAXLEN", 1)
            let rows = try await Self.findings(rig).rows
            #expect(Self.above(rows) == ["critical pending-deleted", "critical trimmed-unread"])
            #expect(rows[1].problem.contains("2 entries were cut off"), "\(rows[1].problem)")
            #expect(rows[0].problem.contains("1-0 first"))
        }
    }

    @Test func `a log that was cut off ahead of a group of which the server counts nothing is found`()
        async throws
    {
        try await Self.withSoundServer { rig in
            try await rig.publish(6...20)
            try await Self.settle(rig)
            try await rig.redis("XDEL", "test:events:{orders:0}", "12-0")
            try await rig.redis("XGROUP", "SETID", "test:events:{orders:0}", "payment", "5-0")
            let unknown = try await Self.findings(rig).rows
            #expect(Self.above(unknown) == [] && unknown.map(\.word).contains("info lag-unknown"))
            try await rig.redis("XTRIM", "test:events:{orders:0}", "MINID", "11")
            let rows = try await Self.findings(rig).rows
            #expect(Self.above(rows) == ["warning trimmed-unread"])
            #expect(rows[0].problem.contains("stands at 5-0") && rows[0].problem.contains("begins at 11-0"))
        }
    }

    @Test func `a group that is declared and gone, and a full log, are found`() async throws {
        try await Self.withSoundServer { rig in
            try await rig.redis("HSET", "test:topic:{orders}", "start:audit:0", "0-0", "limit", 5)
            let rows = try await Self.findings(rig).rows
            #expect(
                Self.above(rows).contains("warning group-missing")
                    && Self.above(rows).contains("critical topic-full"))
            #expect(rows.first { $0.check == "group-missing" }?.subject == "orders/audit")
        }
    }

    @Test func `retention that a group holds back is found`() async throws {
        try await Self.withSoundServer { rig in
            try await rig.publish(6...500)
            try await rig.redis("XGROUP", "CREATECONSUMER", "test:events:{orders:0}", "payment", "c")
            #expect(Self.above(try await Self.findings(rig).rows) == [])
            try await rig.redis("HSET", "test:topic:{orders}", "retention.count", 10)
            let rows = try await Self.findings(rig).rows
            #expect(Self.above(rows) == ["warning retention-held"])
            #expect(rows[0].problem.contains("500 entries are kept instead of 10"))
        }
    }

    @Test func `a key of the wrong type is found, and the other topics are looked at all the same`()
        async throws
    {
        try await Self.withSoundServer { rig in
            try await rig.redis("SET", "test:delayed:{orders:0}:payment", "x")
            try await rig.redis("XGROUP", "CREATE", "test:events:{mails:0}", "mail", "0", "MKSTREAM")
            try await rig.redis(
                "HSET", "test:topic:{mails}", "partitions", 1, "start:mail:0", "0-0", "start:late:0", "0-0")
            let rows = try await Self.findings(rig).rows
            #expect(Self.above(rows) == ["critical key-types", "warning group-missing"])
            #expect(rows[0].problem.contains("is a string and not a zset"))
            #expect(rows[0].remedy.contains("RENAME test:delayed:{orders:0}:payment"))
        }
    }

    @Test func `retries that are late, what nobody takes again, and old dead letters are found`() async throws
    {
        try await Self.withSoundServer { rig in
            try await Self.settle(rig)
            // It lives by its connection, however long this takes.
            let reader = rig.client.dedicated(clientName: "test:payment:c")
            defer { reader.close() }
            try await reader.connect()
            let now = Int(try await rig.broker.serverTime().milliseconds)
            try await rig.redis("ZADD", "test:delayed:{orders:0}:payment", now + 100_000, "1-0 x")
            try await rig.redis("XADD", "test:dead:{orders:0}:payment", "\(now - 1000)-0", "id", "e")
            let young = try await Self.findings(rig, "--lease", "5s").rows
            #expect(Self.above(young) == [] && young.map(\.word).contains("info dead-letters"))
            try await rig.redis("ZADD", "test:delayed:{orders:0}:payment", now - 100_000, "1-0 x")
            try await rig.redis("ZADD", "test:scheduled:{orders:0}", now - 100_000, "1-0 x")
            try await rig.redis("XADD", "test:redelivery:{orders:0}:payment", "\(now - 300_000)-0", "id", "e")
            try await rig.redis("DEL", "test:dead:{orders:0}:payment")
            try await rig.redis("XADD", "test:dead:{orders:0}:payment", "\(now - 90_000_000)-0", "id", "e")
            try await rig.redis("XADD", "test:invalid:{orders:0}:payment", "\(now - 90_000_000)-0", "id", "e")
            let rows = try await Self.findings(rig, "--lease", "5s").rows
            #expect(
                Self.above(rows) == [
                    "warning dead-letters", "warning invalid-letters", "warning redelivery-stuck",
                    "warning retries-overdue", "warning scheduled-overdue",
                ])
        }
    }

    @Test func `a replay that stopped, and a lock without an end, are found`() async throws {
        try await Self.withSoundServer { rig in
            struct Plan: Decodable { let id: String }
            try await Self.settle(rig)
            let plan = try await rig.run(
                "replay", "plan", "--topic", "orders", "--group", "payment", "--from", "start", "--format",
                "json"
            ).json(Plan.self)
            #expect(Self.above(try await Self.findings(rig).rows) == [])
            try await rig.redis(
                "HSET", "test:replay:{\(plan.id)}", "state", "running", "run", "gone", "done", 2)
            try await rig.redis("SET", "test:replaying:{orders}:payment", "host 1 x y")
            let rows = try await Self.findings(rig).rows
            #expect(Self.above(rows) == ["warning replay-lock", "warning replay-stopped"])
            #expect(rows.contains { $0.remedy.contains("replay resume \(plan.id)") })
        }
    }

    @Test func `what a user lacks is found, by asking or by trying, and what it may not look at is said`()
        async throws
    {
        try await Self.withSoundServer { rig in
            try await Self.settle(rig)
            let all = [
                "ON", ">pw", "~test:*", "+@all", "-@dangerous", "+info", "+config|get", "+client|list",
            ]
            let reader = [
                "ON", ">pw", "~test:*", "+@read", "+@connection", "+eval", "+evalsha", "+time", "-xpending",
            ]
            for (name, rules) in [
                ("service", all), ("reader", reader), ("nobody", ["ON", ">pw", "+@connection"]),
            ] {
                try await rig.redis(arguments: ["ACL", "SETUSER", name] + rules)
            }
            try await rig.redis("ACL", "SETUSER", "others", "ON", ">pw", "~else:*", "+@all")
            func url(_ user: String) -> String { "unix://\(user):pw@\(rig.server.socketPath)" }
            let service = try await Self.findings(rig, "--redis-url", url("service"))
            #expect(Self.above(service.rows) == [] && service.exitCode == 0, "\(service.rows)")
            // `reader` may not ask what it may do, so it is tried; the others are asked for by one that may.
            for arguments in [["--redis-url", url("reader")], ["--acl-user", "reader"]] {
                let rows = try await Self.findings(rig, arguments[0], arguments[1]).rows.filter {
                    $0.check == "rights"
                }
                #expect(rows.count == 2 && rows.allSatisfy { $0.severity == "warning" }, "\(rows)")
                #expect(rows[0].problem.contains("'reader' cannot publish: it may not run XADD"))
                #expect(rows[1].remedy.contains("'+xreadgroup'") && rows[1].remedy.contains("'+xpending'"))
            }
            let others = try await Self.findings(rig, "--acl-user", "others").rows.filter {
                $0.check == "rights"
            }
            #expect(
                others.first?.problem.contains("touch test:topic:{orders}, test:events:{orders:0}") == true,
                "\(others)")
            let nobody = try await Self.findings(rig, "--redis-url", url("nobody"))
            let hidden = nobody.rows.filter { $0.problem.hasPrefix("cannot look: ACL lacks ") }.map(\.check)
            #expect(Set(hidden).isSuperset(of: ["topics", "info", "clock", "replays"]), "\(nobody.rows)")
            #expect(nobody.exitCode == 1)
            // Trying has changed nothing.
            #expect(try await rig.length("test:events:{orders:0}") == 5)
            #expect(try await rig.redis("XINFO", "GROUPS", "test:events:{orders:0}").array?.count == 1)
            #expect(
                try await rig.redis(
                    "EXISTS", "test:lease:{orders:0}:payment", "test:sweep:{orders:0}:payment"
                ).integer == 0)
        }
    }

    @Test func `a database is looked at and never made or migrated`() async throws {
        try await Self.withSoundServer { rig in
            try await Self.settle(rig)
            let path = "\(rig.server.folder)/payment.db"
            let url = "sqlite:\(path)"
            let missing = try await Self.findings(rig, "--database-url", url)
            #expect(Self.above(missing.rows) == ["critical database"] && missing.exitCode == 2)
            #expect(!FileManager.default.fileExists(atPath: path))
            let wrong = try await Self.findings(rig, environment: ["DATABASE_URL": "mysql://u:hush@h/d"])
            #expect(Self.above(wrong.rows) == ["critical database"] && !"\(wrong.rows)".contains("hush"))
            let database = try RecordsDatabase.open(url: url)
            try await database.transaction { _ = try $0.execute("CREATE TABLE other (id BIGINT)") }
            #expect(
                Self.above(try await Self.findings(rig, "--database-url", url).rows) == ["warning migrations"]
            )
            try await ServiceRecords.migrate(database, source: "payment", migrations: [])
            #expect(Self.above(try await Self.findings(rig, "--database-url", url).rows) == [])
            try await stuckOutbox(url, since: -120)
            #expect(
                Self.above(try await Self.findings(rig, "--database-url", url).rows) == ["warning outbox"])
            try await database.transaction {
                _ = try $0.execute(
                    "DELETE FROM freshet_migrations WHERE number = (SELECT max(number) FROM freshet_migrations)"
                )
            }
            let rows = try await Self.findings(rig, "--database-url", url).rows
            #expect(Self.above(rows) == ["warning migrations", "warning outbox"])
        }
    }

    @Test func `PostgreSQL is looked at as well, and one that is away is said`() async throws {
        try await withPostgres { postgres in
            try await Self.withSoundServer { rig in
                try await Self.settle(rig)
                let bare = try await Self.findings(rig, "--database-url", postgres.url).rows
                #expect(Self.above(bare) == ["warning migrations"], "\(bare)")
                try await ServiceRecords.migrate(
                    try RecordsDatabase.open(url: postgres.url), source: "payment", migrations: [])
                #expect(Self.above(try await Self.findings(rig, "--database-url", postgres.url).rows) == [])
                try await stuckOutbox(postgres.url, since: -700)
                let stuck = try await Self.findings(rig, "--database-url", postgres.url).rows
                #expect(Self.above(stuck) == ["critical outbox"])
                await postgres.pause()
                let away = try await Self.findings(rig, "--database-url", postgres.url).rows
                #expect(Self.above(away) == ["critical database"], "\(away)")
            }
        }
    }

    @Test func `in a cluster each node is looked at, and the URL of one node alone is found`() async throws {
        try await withRedisCluster { cluster in
            let client = RedisClient(try RedisConfiguration(url: cluster.url))
            defer { client.close() }
            try await withRedisServer { server in
                let rig = Rig(server, client)
                for partition in 0..<4 {
                    try await rig.publish(1...2, partition: partition)
                    try await rig.createGroup(partition: partition)
                }
                var (whole, nodes): ([Row], Set<String>) = ([], [])
                try await eventually("more than one node is looked at") {
                    // Said each time: on a busy machine another primary may take over that has not got it.
                    try await rig.redis("HSET", "test:topic:{orders}", "partitions", 4)
                    whole = try await Self.findings(rig, "--redis-url", cluster.url).rows
                    nodes = Set(
                        whole.filter { $0.check == "persistence" || $0.check == "memory" }.map(\.subject))
                    return nodes.count >= 2
                }
                #expect(
                    nodes.count >= 2 && nodes.allSatisfy { $0.hasPrefix("server ") && $0.contains(":") },
                    "\(whole)")
                #expect(
                    !whole.map(\.check).contains("cluster")
                        && whole.map(\.check).contains("no-consumers"))
                let one = try await rig.run(
                    "freshet", "doctor", "--redis-url", "redis://\(cluster.addresses[0])", "--format", "json")
                #expect(one.output.contains("redis+cluster://HOST"), "\(one.output) \(one.errors)")
            }
        }
    }
}
