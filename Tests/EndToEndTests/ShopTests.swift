import FoundationEssentials
import FreshetRecords
import FreshetTesting
import Glibc
import Hiredis
import Testing

@Suite(.serialized) struct ShopTests {
    @Test(arguments: Store.allCases)
    func `the demo data settles, with the sums of its file, and placing it again changes nothing`(
        store: Store
    )
        async throws
    {
        try await store.withRecords { records in
            let folder = try Folder()
            let arguments =
                [
                    "up", "--orders", Demo.path, "--data", "\(folder.path)/data", "--exit-when-settled",
                    "--format",
                    "json",
                ] + records
            let first = try await Program.run("shop", arguments, in: folder, within: .seconds(300))
            #expect(first.ending == .exited(0), "\(first.errors)")
            let keys = try #require(
                try memberNames(first.output))
            #expect(
                keys == [
                    "customers", "dead", "eventsPerSecond", "invalid", "latencyMs", "orders", "payments",
                    "placed", "seconds",
                ])
            let summary = try SummaryFile(first.output)
            let expected = try Expected.fromFile()
            #expect(summary.placed == 6919)
            #expect(summary.customers == 2357)
            #expect(summary.orders.confirmed == 6781)
            #expect(summary.orders.cancelled == 138)
            #expect(summary.orders.placed == 0)
            #expect(summary.payments.captured.count == 6781)
            #expect(summary.payments.declined.count == 138)
            #expect(summary.payments.captured.minor == expected.captured)
            #expect(summary.payments.declined.minor == expected.declined)
            #expect(summary.dead == 0 && summary.invalid == 0)
            #expect(summary.latencyMs.p50 > 0 && summary.latencyMs.p99 >= summary.latencyMs.p50)
            print("settled in \(summary.seconds) s, \(summary.eventsPerSecond) events/s")
            try await verifyShop(folder)

            let again = try await Program.run("shop", arguments, in: folder, within: .seconds(300))
            #expect(again.ending == .exited(0), "\(again.errors)")
            let second = try SummaryFile(again.output)
            #expect(second.orders.confirmed == 6781 && second.customers == 2357)
            #expect(second.payments.captured.minor == expected.captured)
            try await verifyShop(folder)
        }
    }

    @Test(arguments: Store.allCases) func `several processes of each service share the work`(store: Store)
        async throws
    {
        try await store.withRecords { records in
            let folder = try Folder()
            let outcome = try await Program.run(
                "shop",
                [
                    "up", "--orders", folder.demoOrders(1500), "--data", "\(folder.path)/data",
                    "--exit-when-settled",
                    "--format", "json", "--workers", "order=2,customer=2,payment=3",
                ] + records, in: folder)
            #expect(outcome.ending == .exited(0), "\(outcome.errors)")
            #expect(try SummaryFile(outcome.output).placed == 1500)
            try await verifyShop(folder)
        }
    }

    @Test(arguments: Store.allCases)
    func `workers that are killed at random lose nothing and do nothing twice`(store: Store) async throws {
        try await store.withRecords { records in
            let seed = UInt64.random(in: 0 ... .max)
            print("seed \(seed)")
            var random = Seeded(seed)
            let folder = try Folder()
            let shop = try Program.start(
                "shop",
                [
                    "up", "--orders", folder.demoOrders(4000), "--data", "\(folder.path)/data",
                    "--exit-when-settled",
                    "--format", "json",
                ] + records, in: folder)
            var kills = ["order-worker": 0, "customer-worker": 0, "payment-worker": 0]
            while shop.child.ending == nil, kills.values.contains(where: { $0 < 3 }) {
                try await Task.sleep(for: .milliseconds(Int.random(in: 100...500, using: &random)))
                let fewest = kills.values.min() ?? 0
                let workers = Processes.children(of: shop.child.id).filter { kills[$0.name] == fewest }
                guard let victim = workers.sorted(by: { $0.id < $1.id }).randomElement(using: &random) else {
                    continue
                }
                kill(victim.id, SIGKILL)
                kills[victim.name, default: 0] += 1
            }
            let outcome = try await shop.outcome()
            #expect(outcome.ending == .exited(0), "seed \(seed): \(outcome.errors)")
            #expect(
                kills.values.allSatisfy { $0 >= 2 }, "seed \(seed): done before all were killed: \(kills)")
            let summary = try SummaryFile(outcome.output)
            #expect(summary.placed == 4000 && summary.orders.placed == 0, "seed \(seed)")
            print("killed \(kills), settled in \(summary.seconds) s")
            try await verifyShop(folder)
        }
    }

    @Test(arguments: Store.allCases)
    func `workers that die at every step between event and event lose nothing and do nothing twice`(
        store: Store
    )
        async throws
    {
        try await store.withRecords { records in
            let folder = try Folder()
            // Each step is reached some thousand times, by chance ten deaths or so; the relay's a hundred times or fewer, since a busy
            // machine makes its batches larger.
            let relaySteps: Set = ["before-publish", "after-publish", "after-mark"]
            let steps = [
                "before-handler": 700, "after-outside-call": 150, "before-commit": 700, "after-commit": 700,
                "before-acknowledge": 700, "after-acknowledge": 300, "before-publish": 8,
                "after-publish": 8,
                "after-mark": 8,
            ]
            let drill = steps.map { "\($0.key)=kill/\($0.value)" }.joined(separator: ",")
            let outcome = try await Program.run(
                "shop",
                [
                    "up", "--orders", folder.demoOrders(1500), "--data", "\(folder.path)/data",
                    "--exit-when-settled", "--format", "json", "--workers", "order=2,customer=2,payment=2",
                ] + records, environment: ["FRESHET_DRILL": drill, "LOG_LEVEL": "debug"], in: folder,
                within: .seconds(300))
            #expect(outcome.ending == .exited(0), "\(outcome.errors)")
            let logs = "\(folder.path)/data/logs"
            let text = try FileManager.default.contentsOfDirectory(atPath: logs).map {
                try String(contentsOfFile: "\(logs)/\($0)", encoding: .utf8)
            }.joined()
            let deaths = steps.keys.sorted().map { step in
                (step, text.split(separator: "\n").count { $0 == "drill: killed at \(step)" })
            }
            print("died \(deaths), settled in \(try SummaryFile(outcome.output).seconds) s")
            #expect(deaths.allSatisfy { $0.1 > 0 || relaySteps.contains($0.0) }, "\(deaths)")
            // One of three may have had luck: once in hundreds of runs.
            #expect(deaths.count { $0.1 > 0 && relaySteps.contains($0.0) } >= 2, "\(deaths)")
            #expect(text.contains("handled before"), "the inbox knew none of what came again")
            #expect(try SummaryFile(outcome.output).orders.placed == 0)
            try await verifyShop(folder)
        }
    }

    @Test(arguments: ["freeze", "kill"], Store.allCases)
    func `a server that is away for ten seconds is waited for, without a flood of log lines`(
        how: String, store: Store
    )
        async throws
    {
        try await store.withRecords { records in
            let folder = try Folder()
            let server = LocalRedisServer(appendOnly: true, options: ["--appendfsync", "always"])
            try await withRedisServer(server) { server in
                let shop = try Program.start(
                    "shop",
                    [
                        "up", "--orders", folder.demoOrders(4000), "--data", "\(folder.path)/data",
                        "--exit-when-settled",
                        "--format", "json", "--redis-url", server.url,
                    ] + records, in: folder)
                let client = RedisClient(try RedisConfiguration(url: server.url))
                defer { client.close() }
                try await eventually("some payments are decided") {
                    (try? await client.send(RedisCommand("XLEN", "shop:events:{payments:0}")).integer) ?? 0
                        > 300
                }
                if how == "freeze" { server.pause() } else { await server.kill() }
                try await Task.sleep(for: .seconds(10))
                if how == "freeze" { server.resume() } else { try await server.start() }
                let outcome = try await shop.outcome()
                #expect(outcome.ending == .exited(0), "\(outcome.errors)")
                #expect(try SummaryFile(outcome.output).orders.placed == 0)
                try await verifyShop(folder, redisURL: server.url)
                for service in ["order", "customer", "payment"] {
                    let log = try String(
                        contentsOfFile: "\(folder.path)/data/logs/\(service)-1.log", encoding: .utf8)
                    let lines = log.split(separator: "\n").filter { !$0.contains("the handler threw") }
                    #expect(lines.count < 25, "\(service) wrote \(lines.count) lines")
                }
            }
        }
    }

    @Test func `a database that is away for half a minute, and one that crashes, is waited for`() async throws
    {
        try await withPostgres { database in
            let folder = try Folder()
            let shop = try Program.start(
                "shop",
                [
                    "up", "--orders", folder.demoOrders(4000), "--data", "\(folder.path)/data",
                    "--exit-when-settled", "--format", "json", "--database-url", database.url,
                ], in: folder)
            let records = try RecordsDatabase.open(url: database.url)
            func payments() async -> Int64 {
                let count = try? await records.read {
                    try $0.query("SELECT count(*) AS n FROM shop_payment.payments")
                }
                return count?[0].integer("n") ?? 0
            }
            for (threshold, crashes) in [(300, false), (1500, true)] {
                try await eventually("payments are decided", within: .seconds(60)) {
                    await payments() > threshold
                }
                if crashes { await database.kill() } else { await database.pause() }
                try await Task.sleep(for: .seconds(crashes ? 5 : 30))
                try await database.start()
            }
            let outcome = try await shop.outcome()
            #expect(outcome.ending == .exited(0), "\(outcome.errors)")
            let summary = try SummaryFile(outcome.output)
            #expect(summary.orders.placed == 0 && summary.dead == 0)
            try await verifyShop(folder)
            for service in ["order", "customer", "payment"] {
                let log = try String(
                    contentsOfFile: "\(folder.path)/data/logs/\(service)-1.log", encoding: .utf8)
                let lines = log.split(separator: "\n").filter { !$0.contains("the handler threw") }
                #expect(
                    lines.contains { $0.contains("waiting for the database") }, "\(service) does not say so")
                #expect(lines.count < 40, "\(service) wrote \(lines.count) lines")
            }
        }
    }

    @Test(arguments: Store.allCases) func `a signal drains the shop and leaves nothing running`(store: Store)
        async throws
    {
        try await store.withRecords { records in
            let folder = try Folder()
            let shop = try Program.start(
                "shop",
                ["up", "--orders", folder.demoOrders(1000), "--data", "\(folder.path)/data"] + records,
                in: folder)
            try await eventually("workers run") {
                Processes.children(of: shop.child.id).filter { $0.name.hasSuffix("-worker") }.count == 3
            }
            try await eventually("orders are handled") { shop.errors.contains("placed 1000") }
            let client = RedisClient(
                try RedisConfiguration(url: "unix://\(folder.path)/data/redis/redis.sock"))
            defer { client.close() }
            let server = try await client.send(RedisCommand("INFO", "server")).string
            let version = try await ServerUnderTest().version
            #expect(
                server?.contains("_version:\(version)\r\n") == true, "the shop starts the server under test")
            let children = Processes.children(of: shop.child.id)
            shop.child.signal(SIGTERM)
            let outcome = try await shop.outcome(within: .seconds(40))
            #expect(outcome.ending == .exited(0), "\(outcome.errors)")
            #expect(children.count == 4)
            #expect(children.allSatisfy { kill($0.id, 0) != 0 })
            try await verifyShop(folder)
        }
    }

    @Test func `verify notices records that are not right`() async throws {
        let folder = try Folder()
        let outcome = try await Program.run(
            "shop",
            [
                "up", "--orders", folder.demoOrders(60), "--data", "\(folder.path)/data",
                "--exit-when-settled",
            ], in: folder)
        #expect(outcome.ending == .exited(0))
        try await verifyShop(folder)
        for (database, sql) in [
            ("customer", "UPDATE customers SET spent_minor = spent_minor + 1 WHERE customer_id = 'c00001'"),
            ("order", "DELETE FROM orders WHERE order_id = 'cdnow-000002'"),
            ("payment", "DELETE FROM inbox WHERE event_id = 'order.placed:cdnow-000003'"),
        ] {
            let copy = "\(folder.path)/data/\(database).db"
            let kept = try Data(contentsOf: URL(filePath: copy))
            try Tampering.execute(sql, on: copy)
            let verified = try await Program.run(
                "shop", ["verify", "--data", "\(folder.path)/data"], in: folder)
            #expect(verified.ending == .exited(1), "\(sql): \(verified.output)")
            #expect(verified.output.contains("BROKEN"))
            try kept.write(to: URL(filePath: copy))
        }
        try await verifyShop(folder)
    }
}

/// What the file's own numbers say, by a parse of its own.
struct Expected {
    var captured = 0
    var declined = 0

    static func fromFile() throws -> Expected {
        var expected = Expected()
        for line in try Demo.text().split(separator: "\n").dropFirst() {
            let fields = line.split(separator: ",", omittingEmptySubsequences: false)
            let parts = fields[7].split(separator: ".")
            let cents = parts.count == 2 ? Int((parts[1] + "00").prefix(2)) ?? 0 : 0
            let minor = (Int(parts[0]) ?? 0) * 100 + cents
            if fields[9] == "tok_declined" { expected.declined += minor } else { expected.captured += minor }
        }
        return expected
    }
}
