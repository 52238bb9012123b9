import FoundationEssentials
import Freshet
import FreshetRecords
import FreshetTesting
import Glibc
import Hiredis
import Testing

@Suite(.serialized) struct ToolTests {
    struct Group: Decodable {
        let topic, group: String
        let length, waiting, pending, delayed, dead, invalid: Int
        let lagKnown: Bool
    }

    static func json<Value: Decodable>(_ type: Value.Type, _ text: String) throws -> Value {
        try JSONDecoder().decode(type, from: Data(text.utf8))
    }

    /// Runs a tool on the shop's namespace.
    static func tool(
        _ name: String, _ arguments: [String], _ server: LocalRedisServer, _ folder: Folder,
        input: String? = nil
    ) async throws -> Program.Outcome {
        try await Program.run(
            name, arguments + ["--redis-url", server.url, "--namespace", "shop"], in: folder, input: input,
            within: .seconds(60))
    }

    @Test(arguments: Store.allCases)
    func `redelivering the whole history to every group changes no record and charges nobody`(store: Store)
        async throws
    {
        try await WorkerTests.withWorkers(on: store) { server, client, folder in
            let placed = try await Program.run(
                "shop", ["place", "--orders", folder.demoOrders(300), "--redis-url", server.url], in: folder)
            #expect(placed.ending == .exited(0), "\(placed.errors)")
            try await eventually("all is settled") {
                try await Self.isSettled(server, client, folder, entries: 600)
            }
            let before = try await Self.records(folder)
            let logs = try await Self.lengths(client)
            for service in WorkerTests.services {
                let dry = try await Self.tool(
                    "replay",
                    [
                        "redeliver", "--topic", "orders", "--group", service, "--from", "start", "--to",
                        "end", "--dry-run",
                    ],
                    server, folder)
                #expect(dry.ending == .exited(0))
                #expect(dry.errors.contains("600 events"), "\(dry.errors)")
                let asked = try await Self.tool(
                    "replay",
                    ["redeliver", "--topic", "orders", "--group", service, "--from", "start", "--to", "end"],
                    server, folder)
                #expect(asked.ending == .exited(64), "off a terminal it needs --yes")
                let done = try await Self.tool(
                    "replay",
                    [
                        "redeliver", "--topic", "orders", "--group", service, "--from", "start", "--to",
                        "end", "--yes",
                        "--format", "json",
                    ], server, folder)
                #expect(done.ending == .exited(0), "\(done.errors)")
                struct Report: Decodable { let done: Int }
                #expect(try Self.json(Report.self, done.output).done == 600)
            }
            try await eventually("all is settled again") {
                try await Self.isSettled(server, client, folder, entries: 600)
            }
            #expect(try await Self.records(folder) == before)
            #expect(try await Self.lengths(client) == logs)
        }
    }

    /// Whether the groups have nothing left to do, by the tool's own account, and the orders' log has so many entries.
    static func isSettled(
        _ server: LocalRedisServer, _ client: RedisClient, _ folder: Folder, entries: Int
    ) async throws -> Bool {
        // First the log: what is published between the two looks would be in no group's account yet.
        let length = try await client.send(RedisCommand("XLEN", "shop:events:{orders:0}")).integer
        let groups = try await tool(
            "freshet", ["groups", "--over", "0s", "--format", "json"], server, folder)
        let list = try json([Group].self, groups.output)
        return length == entries && list.count == 5
            && list.allSatisfy { $0.waiting + $0.pending + $0.delayed == 0 && $0.lagKnown }
    }

    static func records(_ folder: Folder) async throws -> [[[String: String]]] {
        var records: [[[String: String]]] = []
        for (service, sql) in [
            ("order", "SELECT * FROM orders ORDER BY order_id"),
            ("order", "SELECT * FROM order_lines ORDER BY order_id, line"),
            ("customer", "SELECT * FROM customers ORDER BY customer_id"),
            ("payment", "SELECT * FROM payments ORDER BY order_id"),
            ("provider", "SELECT * FROM charges ORDER BY idempotency_key"),
        ] { records.append(try await WorkerTests.rows(sql, service, folder)) }
        return records
    }

    static func lengths(_ client: RedisClient) async throws -> [Int?] {
        var lengths: [Int?] = []
        for topic in ["orders", "customers", "payments"] {
            lengths.append(try await client.send(RedisCommand("XLEN", "shop:events:{\(topic):0}")).integer)
        }
        return lengths
    }

    @Test(arguments: Store.allCases)
    func `a group whose work was lost does it again after a redelivery of a filtered range`(store: Store)
        async throws
    {
        try await WorkerTests.withWorkers(on: store) { server, client, folder in
            let placed = try await Program.run(
                "shop", ["place", "--orders", folder.demoOrders(50), "--redis-url", server.url], in: folder)
            #expect(placed.ending == .exited(0))
            try await eventually("customers are counted") {
                (try? await WorkerTests.rows(
                    "SELECT sum(orders_confirmed) AS n FROM customers", "customer", folder)[0]["n"]) == "49"
            }
            // The last decision's row is written in the transaction of its count.
            try await RecordsDatabase.open(url: folder.databaseURL(of: "customer")).transaction {
                transaction in
                for table in ["inbox", "customers", "customer_orders", "outbox"] {
                    try transaction.execute("DELETE FROM \(table)")
                }
            }
            for type in ["order.placed", "order.confirmed", "order.cancelled"] {
                let done = try await Self.tool(
                    "replay",
                    [
                        "redeliver", "--topic", "orders", "--group", "customer", "--from", "start", "--to",
                        "end",
                        "--type", type, "--yes",
                    ], server, folder)
                #expect(done.ending == .exited(0), "\(done.errors)")
            }
            try await eventually("customers are counted again") {
                (try? await WorkerTests.rows(
                    "SELECT sum(orders_confirmed) AS n FROM customers", "customer", folder)[0]["n"]) == "49"
            }
            try await eventually("and cancelled orders") {
                (try? await WorkerTests.rows(
                    "SELECT count(*) AS n FROM customer_orders WHERE decision = 'cancelled' AND is_placed = 1",
                    "customer",
                    folder)[0]["n"]) == "1"
            }
        }
    }

    @Test func `a rewind moves a group that holds nothing, says how far, and its reader goes on from there`()
        async throws
    {
        let folder = try Folder()
        try await withRedisServer { server in
            let client = RedisClient(try RedisConfiguration(url: server.url))
            defer { client.close() }
            for number in 1...10 {
                try await client.send(
                    RedisCommand(
                        "XADD", "shop:events:{orders:0}", "\(number)-0", "specversion", "1.0", "id",
                        "\(number)",
                        "source", "s", "type", "t", "data", "{}"))
            }
            try await client.send(RedisCommand("XGROUP", "CREATE", "shop:events:{orders:0}", "payment", "0"))
            try await client.send(
                RedisCommand(
                    "XREADGROUP", "GROUP", "payment", "c", "COUNT", 10, "STREAMS", "shop:events:{orders:0}",
                    ">"))
            let arguments = [
                "rewind", "--topic", "orders", "--group", "payment", "--to", "4-0", "--yes", "--format",
                "json",
            ]
            let refused = try await Self.tool("replay", arguments, server, folder)
            #expect(refused.ending == .exited(1))
            #expect(refused.errors.contains("holds 10 events"))
            let ids: [any RedisArgument] = (1...10).map { "\($0)-0" }
            try await client.send(
                RedisCommand(arguments: ["XACK", "shop:events:{orders:0}", "payment"] + ids))
            let moved = try await Self.tool("replay", arguments, server, folder)
            #expect(moved.ending == .exited(0), "\(moved.errors)")
            #expect(moved.output.contains(#""readAgain" : 7"#), "\(moved.output)")
            let group = try await client.send(RedisCommand("XINFO", "GROUPS", "shop:events:{orders:0}"))
            #expect(group.array?[0].array?.compactMap(\.string).contains("3-18446744073709551615") == true)
            let groups = try await Self.tool(
                "freshet", ["groups", "--over", "0s", "--format", "json"], server, folder)
            #expect(try Self.json([Group].self, groups.output)[0].waiting == 7)
            let back = try await Self.tool(
                "replay", ["rewind", "--topic", "orders", "--group", "payment", "--to", "end", "--yes"],
                server, folder)
            #expect(back.ending == .exited(0))
            #expect(back.output.contains("7 are passed over"), "\(back.output)")
        }
    }

    @Test func `dead letters are listed, tried again and discarded`() async throws {
        let folder = try Folder()
        try await withRedisServer { server in
            let client = RedisClient(try RedisConfiguration(url: server.url))
            defer { client.close() }
            try await client.send(RedisCommand("XADD", "shop:events:{orders:0}", "*", "id", "1"))
            for number in 1...3 {
                try await client.send(
                    RedisCommand(
                        "XADD", "shop:dead:{orders:0}:payment", "\(number)-0", "id", "e\(number)", "source",
                        "s",
                        "type", "order.placed", "data", "{}", "freshetoriginalid", "9-0", "freshetattempt",
                        "5",
                        "freshetreason", "no answer", "freshetfailedat", "2026-01-02T03:04:05.000Z"))
            }
            let selection = ["--topic", "orders", "--group", "payment"]
            let list = try await Self.tool(
                "freshet", ["dead", "list", "--format", "json"] + selection, server, folder)
            struct Letter: Decodable { let id, eventID, reason: String; let attempts: Int }
            let letters = try Self.json([Letter].self, list.output)
            #expect(letters.map(\.eventID) == ["e1", "e2", "e3"])
            #expect(letters[0].attempts == 5 && letters[0].reason == "no answer")
            let dry = try await Self.tool(
                "freshet", ["dead", "retry", "--all", "--dry-run"] + selection, server, folder)
            #expect(dry.ending == .exited(0) && dry.errors.contains("3 dead letters"))
            let one = try await Self.tool(
                "freshet", ["dead", "retry", "--id", "2-0", "--yes"] + selection, server, folder)
            #expect(one.ending == .exited(0), "\(one.errors)")
            let again = try await client.send(
                RedisCommand("XRANGE", "shop:redelivery:{orders:0}:payment", "-", "+"))
            let fields = again.array?[0].array?[1].array?.compactMap(\.string)
            #expect(
                fields == [
                    "id", "e2", "source", "s", "type", "order.placed", "data", "{}", "freshetoriginalid",
                    "9-0",
                    "freshetretries", "1",
                ])
            let rest = try await Self.tool(
                "freshet", ["dead", "discard", "--all", "--yes"] + selection, server, folder)
            #expect(rest.ending == .exited(0))
            #expect(try await client.send(RedisCommand("XLEN", "shop:dead:{orders:0}:payment")).integer == 0)
            let unknown = try await Self.tool(
                "freshet", ["dead", "retry", "--id", "7-0", "--yes"] + selection, server, folder)
            #expect(unknown.ending == .exited(1) && unknown.errors.contains("7-0"))
        }
    }

    @Test func `events are published and tailed, and bad input is refused by name`() async throws {
        let folder = try Folder()
        try await withRedisServer { server in
            let one = try await Self.tool(
                "freshet",
                ["publish", "orders", "--type", "order.placed", "--key", "k", "--data", #"{"a":"ö"}"#],
                server,
                folder)
            #expect(one.ending == .exited(0), "\(one.errors)")
            let many = try await Self.tool(
                "freshet", ["publish", "orders", "--type", "order.placed"], server, folder, input: "{}\n[1]\n"
            )
            #expect(many.ending == .exited(0), "\(many.errors)")
            let tail = try await Self.tool(
                "freshet", ["tail", "orders", "--count", "3", "--format", "ndjson"], server, folder)
            struct Line: Decodable { let id: String; let fields: [String: String] }
            let lines = try tail.output.split(separator: "\n").map { try Self.json(Line.self, String($0)) }
            #expect(lines.map { $0.fields["data"] } == [#"{"a":"ö"}"#, "{}", "[1]"])
            #expect(lines[0].fields["partitionkey"] == "k" && lines[0].fields["specversion"] == "1.0")
            let cases: [(name: String, arguments: [String], code: Int32, says: String)] = [
                ("freshet", ["publish", "orders", "--type", "order.placed", "--data", "{"], 65, "not JSON"),
                ("freshet", ["publish", "or ders", "--type", "a", "--data", "{}"], 64, "or ders"),
                ("freshet", ["tail", "none"], 1, "none"),
                (
                    "replay",
                    ["redeliver", "--topic", "none", "--group", "g", "--from", "start", "--to", "end"], 1,
                    "orders"
                ),
                (
                    "replay",
                    ["redeliver", "--topic", "orders", "--group", "g", "--from", "start", "--to", "end"], 1,
                    "'g'"
                ),
                (
                    "replay", ["rewind", "--topic", "orders", "--group", "g", "--to", "yesterday"], 64,
                    "yesterday"
                ),
            ]
            for item in cases {
                let outcome = try await Self.tool(item.name, item.arguments, server, folder)
                #expect(outcome.ending == .exited(item.code), "\(item): \(outcome.errors)")
                #expect(outcome.errors.contains(item.says), "\(item): \(outcome.errors)")
                #expect(outcome.errors.split(separator: "\n").count == 1, "\(item): \(outcome.errors)")
            }
        }
        let away = try await Program.run(
            "freshet", ["groups", "--redis-url", "redis://127.0.0.1:\(freePort())"],
            environment: ["FRESHET_CONNECT_TIMEOUT": "0.3"], in: folder)
        #expect(away.ending == .exited(69))
    }
}
