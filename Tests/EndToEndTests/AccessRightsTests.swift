import FoundationEssentials
import Freshet
import FreshetTesting
import Glibc
import Hiredis
import Testing

@Suite struct AccessRightsTests {
    @Test func explore() async throws {
        try await GuardedServer.with { guarded in
            let monitor = try ChildProcess(
                "/usr/bin/redis-cli",
                ["-p", "\(guarded.port)", "--user", "admin", "--pass", "secret", "monitor"],
                output: .file("/tmp/access-monitor-cases.txt"))
            defer { monitor.signal(SIGKILL) }
            await withTaskGroup(of: Void.self) { tasks in
                for (number, promise) in Conformance.cases.enumerated() {
                    if number >= 6 { await tasks.next() }
                    tasks.addTask {
                        let began = ContinuousClock.now
                        do {
                            let space = Namespace(unchecked: "c\(number)")
                            let user = "user\(number)"
                            let commands = try #require(guarded.rights["order"]).filter { $0.hasPrefix("+") }
                            try await guarded.add(user, commands + ["~\(space):*"])
                            var configuration = try RedisConfiguration(url: guarded.url(of: user))
                            configuration.clientName = "worker\(number)"
                            let client = RedisClient(configuration)
                            defer { client.close() }
                            try await promise.check(
                                on: ConformanceTarget(
                                    Broker(client, namespace: space),
                                    operations: Broker(guarded.admin, namespace: space)
                                ) { try await Task.sleep(for: $0) })
                            print(
                                "CASE", number, promise, ContinuousClock.now - began,
                                try await guarded.refusals(of: user))
                        } catch { print("FAILED", number, promise, error) }
                    }
                }
            }
        }
    }

    @Test func shop() async throws {
        try await GuardedServer.with { guarded in
            let monitor = try ChildProcess(
                "/usr/bin/redis-cli",
                ["-p", "\(guarded.port)", "--user", "admin", "--pass", "secret", "monitor"],
                output: .file("/tmp/access-monitor-shop.txt"))
            defer { monitor.signal(SIGKILL) }
            let folder = try Folder()
            try await folder.makeData()
            func start(_ service: String) throws -> Running {
                try Program.start(
                    "\(service)-worker", [],
                    environment: [
                        "REDIS_URL": guarded.url(of: service),
                        "DATABASE_URL": folder.databaseURL(of: service),
                        "PAYMENT_PROVIDER_LEDGER": folder.databaseURL(of: "provider"),
                        "FRESHET_ORDERING": service == "payment" ? "any" : "perKey",
                    ], in: folder)
            }
            var workers = try (WorkerTests.services + ["customer", "payment"]).map { try start($0) }
            let placed = try await Program.run(
                "shop",
                ["place", "--orders", folder.demoOrders(60), "--redis-url", guarded.url(of: "place")],
                in: folder)
            #expect(placed.ending == .exited(0), "\(placed.errors)")
            for (id, token) in [("flaky", "tok_flaky"), ("declined", "tok_declined")] {
                try await WorkerTests.place(id, token: token, guarded.admin)
            }
            try await guarded.admin.send(
                RedisCommand("XADD", "shop:events:{orders:0}", "*", "specversion", "1.0", "id", "bad"))
            func settled() async throws {
                try await eventually("all is settled") {
                    let groups = try await Program.run(
                        "freshet",
                        [
                            "groups", "--format", "json", "--redis-url", guarded.url(of: "exporter"),
                            "--namespace", "shop",
                        ],
                        in: folder)
                    let list = try ToolTests.json([ToolTests.Group].self, groups.output)
                    let length = try await guarded.admin.send(RedisCommand("XLEN", "shop:events:{orders:0}"))
                        .integer
                    return length == 125 && list.count == 5
                        && list.allSatisfy { $0.waiting + $0.pending + $0.delayed == 0 && $0.lagKnown }
                }
            }
            try await settled()
            workers[1].child.signal(SIGTERM)
            let out = try await workers[1].outcome()
            #expect(out.ending == .exited(0))
            workers[1] = try start("customer")
            let rebuilt = try await Program.run(
                "replay",
                [
                    "run", "--mode", "rebuild", "--group", "order", "--yes", "--reason", "r",
                    "--redis-url",
                    guarded.url(of: "operator"), "--namespace", "shop",
                ], in: folder)
            #expect(rebuilt.ending == .exited(0), "\(rebuilt.errors)")
            let redelivered = try await Program.run(
                "replay",
                [
                    "redeliver", "--topic", "orders", "--group", "payment", "--from", "start", "--to", "end",
                    "--yes", "--redis-url", guarded.url(of: "operator"), "--namespace", "shop",
                ], in: folder)
            #expect(redelivered.ending == .exited(0), "\(redelivered.errors)")
            try await settled()
            try await RebuildTests.stop(workers)
            try await verifyShop(folder, redisURL: guarded.url(of: "operator"))
            for user in guarded.rights.keys { print(user, try await guarded.refusals(of: user)) }
        }
    }
}
