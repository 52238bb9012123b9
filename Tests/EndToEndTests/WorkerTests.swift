import FoundationEssentials
import Freshet
import FreshetRecords
import FreshetTesting
import Glibc
import Hiredis
import Testing

@Suite(.serialized) struct WorkerTests {
    @Test(arguments: Store.allCases)
    func `an event from redis-cli is handled like any other, in any order of fields, with any text`(
        store: Store
    )
        async throws
    {
        try await Self.withWorkers(on: store) { server, client, folder in
            let name = "Žofie 🎈 \\\"Grün\\\""
            let redisCLI = ["/usr/bin/redis-cli", "/usr/local/bin/redis-cli"].first {
                FileManager.default.isExecutableFile(atPath: $0)
            }
            let plain = [
                "specversion", "1.0", "id", "a", "source", "redis-cli", "type", "order.placed",
                "schemaversion", "1",
                "time", "2026-01-02T03:04:05.678Z", "datacontenttype", "application/json", "partitionkey",
                "a",
                "data", Self.data("a", name: name),
            ]
            let mixed = [
                "data", Self.data("b", name: name), "colour", "blå", "type", "order.placed", "source",
                "redis-cli",
                "id", "b", "freshetreplay", "forged", "specversion", "1.0",
            ]
            for fields in [plain, mixed] {
                let child = try ChildProcess(
                    try #require(redisCLI),
                    ["-s", server.socketPath, "XADD", "shop:events:{orders:0}", "*"] + fields)
                #expect(await child.wait() == .exited(0))
            }
            try await eventually("both orders are confirmed") {
                (try? await Self.rows(
                    "SELECT * FROM customers WHERE orders_confirmed = 2", "customer", folder
                )
                .count) == 1
            }
            let customer = try await Self.rows("SELECT * FROM customers", "customer", folder)[0]
            #expect(customer["name"] == "Žofie 🎈 \"Grün\"")
            #expect(customer["spent_minor"] == "2500")
            #expect(
                try await Self.rows("SELECT * FROM orders WHERE status = 'confirmed'", "order", folder).count
                    == 2)
        }
    }

    @Test(arguments: Store.allCases)
    func `what is no event ends in each group's invalid stream, byte for byte, and the rest goes on`(
        store: Store
    )
        async throws
    {
        try await Self.withWorkers(on: store) { server, client, folder in
            func fields(_ changes: [String: [UInt8]], without: String = "", _ data: [UInt8]) -> [[UInt8]] {
                var result: [[UInt8]] = []
                for (name, value) in [
                    ("specversion", "1.0"), ("id", "x"), ("source", "test"), ("type", "order.placed"),
                    ("schemaversion", "1"), ("datacontenttype", "application/json"),
                ] {
                    if name != without { result += [Array(name.utf8), changes[name] ?? Array(value.utf8)] }
                }
                return result + [Array("data".utf8), data]
            }
            let good = Array(Self.data("x").utf8)
            let garbage = (0..<4000).map { UInt8(truncatingIfNeeded: $0 &* 37 &+ $0 >> 3) }
            let bad: [(fields: [[UInt8]], reason: String)] = [
                (fields([:], without: "id", good), "no id"),
                (fields([:], Array(#"{"orderId":"#.utf8)), "data is not JSON"),
                (fields(["schemaversion": Array("7".utf8)], good), "newer"),
                (fields([:], [UInt8](repeating: 0x61, count: 8 * 1024 * 1024)), "data is not JSON"),
                (fields([:], garbage), "data is not JSON"),
                (fields([:], Array(#"{"orderId":"x"}"#.utf8)), "data.customer is missing"),
            ]
            var ids: [String] = []
            for (fields, _) in bad {
                let command: [any RedisArgument] = ["XADD", "shop:events:{orders:0}", "*"] + fields
                ids.append(try await client.send(RedisCommand(arguments: command)).string ?? "")
            }
            let unknown: [any RedisArgument] =
                ["XADD", "shop:events:{orders:0}", "*"]
                + fields(["type": Array("order.seen".utf8), "id": Array("u".utf8)], [])
            try await client.send(RedisCommand(arguments: unknown))
            let last: [any RedisArgument] =
                ["XADD", "shop:events:{orders:0}", "*"]
                + fields(["id": Array("last".utf8)], Array(Self.data("last").utf8))
            try await client.send(RedisCommand(arguments: last))
            try await eventually("the good order is confirmed") {
                (try? await Self.rows(
                    "SELECT * FROM customers WHERE orders_confirmed = 1", "customer", folder
                )
                .count) == 1
            }
            for group in Self.services {
                try await eventually("all bad entries are set aside for \(group)") {
                    try await client.send(RedisCommand("XLEN", "shop:invalid:{orders:0}:\(group)")).integer
                        == bad.count
                }
                let entries =
                    try await client.send(
                        RedisCommand("XRANGE", "shop:invalid:{orders:0}:\(group)", "-", "+")
                    ).array.map(Array.init) ?? []
                for entry in entries {
                    let found = entry.array?[1].array.map(Array.init)?.map { $0.bytes?.array ?? [] } ?? []
                    let original = String(
                        decoding: found[found.firstIndex(of: Array("freshetoriginalid".utf8))! + 1],
                        as: UTF8.self)
                    let reason = String(
                        decoding: found[found.firstIndex(of: Array("freshetreason".utf8))! + 1], as: UTF8.self
                    )
                    let index = try #require(ids.firstIndex(of: original))
                    #expect(Array(found.prefix(bad[index].fields.count)) == bad[index].fields)
                    #expect(reason.contains(bad[index].reason), "\(reason)")
                }
                let pending = try await client.send(
                    RedisCommand("XPENDING", "shop:events:{orders:0}", group)
                ).array?[0].integer
                #expect(pending == 0)
            }
        }
    }

    @Test(arguments: Store.allCases)
    func `a charge without an answer ends as a dead letter, and the order stays placed`(store: Store)
        async throws
    {
        try await Self.withWorkers(on: store, environment: ["PAYMENT_PROVIDER_TIMEOUT": "0.05"]) {
            server, client, folder in
            try await client.send(
                RedisCommand(
                    "XADD", "shop:events:{orders:0}", "*", "specversion", "1.0", "id", "t", "source", "test",
                    "type",
                    "order.placed", "data", Self.data("t", token: "tok_timeout")))
            try await eventually("the dead letter") {
                try await client.send(RedisCommand("XLEN", "shop:dead:{orders:0}:payment")).integer == 1
            }
            try await eventually("the order is there") {
                (try? await Self.rows("SELECT * FROM orders", "order", folder).first?["status"]) == "placed"
            }
            #expect(try await Self.rows("SELECT * FROM payments", "payment", folder).isEmpty)
        }
    }

    @Test(arguments: Store.allCases)
    func `an order that is not paid in time is cancelled, and what is captured later goes back`(store: Store)
        async throws
    {
        try await Self.withWorkers(["order", "customer"], on: store, environment: ["PAYMENT_DEADLINE": "1"]) {
            server, client, folder in
            for number in 0..<20 { try await Self.place("late-\(number)", client) }
            try await Self.place("declined", token: "tok_declined", client)
            try await Self.place("silent", token: "tok_timeout", client)
            try await eventually("all are cancelled") {
                (try? await Self.rows("SELECT * FROM orders WHERE status = 'cancelled'", "order", folder)
                    .count)
                    == 22
            }
            // Long enough for a busy machine: only who never answers is to be too late.
            let payment = try Self.start("payment", ["PAYMENT_PROVIDER_TIMEOUT": "0.5"], server, folder)
            try await eventually("all are refunded") {
                (try? await Self.rows("SELECT * FROM payments WHERE status = 'refunded'", "payment", folder)
                    .count)
                    == 20
            }
            try await eventually("it is said") {
                try await client.send(RedisCommand("XLEN", "shop:events:{payments:0}")).integer == 20 + 20
                    + 20 + 1
            }
            let charges = try await Self.rows(
                "SELECT * FROM charges WHERE status = 'captured'", "provider", folder)
            #expect(charges.count == 20 && charges.allSatisfy { $0["refunded_minor"] == "1250" })
            try await eventually("what came too late is on record") {
                try await Self.rows("SELECT * FROM refused_transitions", "order", folder).count == 20
            }
            try await eventually("who never answers ends as a dead letter") {
                try await client.send(RedisCommand("XLEN", "shop:dead:{orders:0}:payment")).integer == 1
            }
            payment.child.signal(SIGTERM)
            #expect(try await payment.outcome().ending == .exited(0))
        }
    }

    @Test(arguments: Store.allCases) func `an order that is paid in time is not touched by its deadline`(
        store: Store
    ) async throws {
        try await Self.withWorkers(on: store, environment: ["PAYMENT_DEADLINE": "2"]) {
            server, client, folder in
            for number in 0..<5 { try await Self.place("\(number)", client) }
            try await eventually("the deadlines have come") {
                try await client.send(RedisCommand("XLEN", "shop:events:{orders:0}")).integer == 5 + 5 + 5
            }
            try await eventually("all are seen") {
                try await Self.rows("SELECT * FROM inbox", "order", folder).count == 5 + 5 + 5
            }
            let orders = try await Self.rows("SELECT * FROM orders", "order", folder)
            #expect(orders.count == 5 && orders.allSatisfy { $0["status"] == "confirmed" })
            #expect(try await Self.rows("SELECT * FROM refused_transitions", "order", folder).isEmpty)
        }
    }

    @Test func `what cannot work is said in one line with the right exit code`() async throws {
        let folder = try Folder()
        let database = "sqlite:\(folder.path)/order.db"
        let port = freePort()
        let server = LocalRedisServer(port: port, options: ["--requirepass", "s3cret"])
        try await withRedisServer(server) { _ in
            let cases:
                [(
                    name: String, arguments: [String], environment: [String: String], code: Int32,
                    says: String
                )] = [
                    (
                        "unreachable", [],
                        [
                            "REDIS_URL": "redis://:hush@127.0.0.1:\(freePort())",
                            "FRESHET_CONNECT_TIMEOUT": "0.5",
                        ], 69,
                        "Connection refused"
                    ),
                    ("password", [], ["REDIS_URL": "redis://:wr0ng@127.0.0.1:\(port)"], 78, "WRONGPASS"),
                    ("no password", [], ["REDIS_URL": "redis://127.0.0.1:\(port)"], 78, "NOAUTH"),
                    ("flag", ["--bogus"], [:], 64, "--bogus"),
                    ("flag value", ["--concurrency", "many"], [:], 64, "many"),
                    (
                        "folder", ["--database-url", "sqlite:/proc/none/order.db"],
                        ["REDIS_URL": "redis://:s3cret@127.0.0.1:\(port)"], 78, "/proc/none/order.db"
                    ),
                    ("url", [], ["REDIS_URL": "redis://:hush@host:port"], 78, "port"),
                    ("number", [], ["FRESHET_CONCURRENCY": "lots"], 78, "FRESHET_CONCURRENCY"),
                ]
            for item in cases {
                var environment = item.environment
                environment["DATABASE_URL"] = database
                let outcome = try await Program.run(
                    "order-worker", item.arguments, environment: environment, in: folder, within: .seconds(30)
                )
                #expect(outcome.ending == .exited(item.code), "\(item.name): \(outcome.errors)")
                let own = outcome.errors.split(separator: "\n").filter { !$0.hasPrefix("{") }
                #expect(own.count == 1, "\(item.name): \(outcome.errors)")
                #expect(own.first?.contains(item.says) == true, "\(item.name): \(outcome.errors)")
                for secret in ["hush", "wr0ng", "s3cret"] {
                    #expect(!outcome.errors.contains(secret), "\(item.name)")
                }
            }
        }
    }

    @Test func `a second signal ends a worker at once, with 130`() async throws {
        let folder = try Folder()
        try await withRedisServer { server in
            let client = RedisClient(try RedisConfiguration(url: server.url))
            defer { client.close() }
            let worker = try Program.start(
                "payment-worker", ["--provider-timeout", "600"],
                environment: [
                    "REDIS_URL": server.url, "DATABASE_URL": "sqlite:\(folder.path)/payment.db",
                    "PAYMENT_PROVIDER_LEDGER": "sqlite:\(folder.path)/provider.db",
                ], in: folder)
            try await client.send(
                RedisCommand(
                    "XADD", "shop:events:{orders:0}", "*", "specversion", "1.0", "id", "t", "source", "test",
                    "type",
                    "order.placed", "data", Self.data("t", token: "tok_timeout")))
            try await eventually("the provider is asked") {
                (try? Tampering.query("SELECT * FROM charges", on: "\(folder.path)/provider.db").count) == 1
            }
            worker.child.signal(SIGTERM)
            try await eventually("it reads no more") {
                let reading = try await client.send(RedisCommand("INFO", "clients")).string ?? ""
                return reading.contains("blocked_clients:0")
            }
            #expect(worker.child.ending == nil, "it waits for what runs")
            worker.child.signal(SIGINT)
            #expect(try await worker.outcome(within: .seconds(15)).ending == .exited(130))
        }
    }

    @Test func `a worker that starts before its server waits for it`() async throws {
        let folder = try Folder()
        let server = LocalRedisServer()
        let worker = try Program.start(
            "order-worker", [],
            environment: ["REDIS_URL": server.url, "DATABASE_URL": "sqlite:\(folder.path)/order.db"],
            in: folder)
        try await eventually("it says that it waits") { worker.errors.contains("trying again") }
        try await withRedisServer(server) { server in
            try await eventually("it has started") { worker.errors.contains("\"started\"") }
            worker.child.signal(SIGTERM)
            #expect(try await worker.outcome(within: .seconds(30)).ending == .exited(0))
        }
    }

    @Test func `bad rows are named with file and line, and nothing or only the good is placed`() async throws
    {
        let folder = try Folder()
        let file = "\(folder.path)/orders.csv"
        let header = "order_id,customer_id,name,email,placed_at,sku,quantity,amount,currency,payment_token"
        let good = "o1,c1,Ada,ada@example.com,2026-01-02T03:04:05Z,cd,1,12.50,EUR,tok_visa"
        let bad = "o2,c1,Ada,ada@example.com,2026-01-02T03:04:05Z,cd,1,12.505,EUR,tok_visa"
        try "\(header)\n\(good)\n\(bad)\n".write(toFile: file, atomically: false, encoding: .utf8)
        try await withRedisServer { server in
            let client = RedisClient(try RedisConfiguration(url: server.url))
            defer { client.close() }
            let arguments = ["place", "--orders", file, "--redis-url", server.url]
            let refused = try await Program.run("shop", arguments, in: folder)
            #expect(refused.ending == .exited(65))
            #expect(
                refused.errors.contains("\(file):3: amount '12.505' has more decimals than EUR has (2)"))
            #expect(try await client.send(RedisCommand("EXISTS", "shop:events:{orders:0}")).integer == 0)
            let skipped = try await Program.run("shop", arguments + ["--skip-invalid"], in: folder)
            #expect(skipped.ending == .exited(2))
            #expect(try await client.send(RedisCommand("XLEN", "shop:events:{orders:0}")).integer == 1)
            let fromInput = try await Program.run(
                "shop", ["place", "--orders", "-", "--redis-url", server.url], in: folder,
                input: Self.data("o9") + "\n" + #"{"orderId":"o10"}"# + "\n")
            #expect(fromInput.ending == .exited(65))
            let left = try FileManager.default.contentsOfDirectory(atPath: "/tmp").filter {
                $0.hasPrefix("freshet-orders-")
            }
            #expect(left.isEmpty, "the copy of standard input was left behind")
            #expect(fromInput.errors.contains("-:2: data.customer is missing"), "\(fromInput.errors)")
        }
        let missing = try await Program.run(
            "shop", ["place", "--orders", "/none.csv", "--redis-url", "redis://127.0.0.1:1"], in: folder)
        #expect(missing.ending == .exited(65) && missing.errors.contains("/none.csv"))
    }
}
