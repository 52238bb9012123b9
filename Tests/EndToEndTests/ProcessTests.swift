import FoundationEssentials
import Freshet
import FreshetTesting
import Glibc
import Hiredis
import Testing

/// What each worker says of itself: how it is, and what it runs with.
@Suite struct ProcessTests {
    private static func start(
        _ service: String = "order", _ environment: [String: String], in folder: Folder
    ) throws -> Running {
        try Program.start(
            "\(service)-worker", [],
            environment: [
                "DATABASE_URL": "sqlite:\(folder.path)/\(service).db",
                "PAYMENT_PROVIDER_LEDGER": "sqlite:\(folder.path)/provider.db",
            ].merging(environment) { $1 }, in: folder)
    }

    /// What `order-worker health` says, asked as a container's check would.
    private static func health(_ question: String, _ port: Int, _ folder: Folder) async throws
        -> Program.Outcome
    {
        try await Program.run(
            "order-worker", ["health", question], environment: ["HTTP_PORT": "\(port)"], in: folder,
            within: .seconds(30))
    }

    private static func isWell(_ question: String, _ port: Int, _ folder: Folder) async throws -> Bool {
        try await health(question, port, folder).ending == .exited(0)
    }

    @Test func `a worker lives before Redis comes and while it is away, and is ready when all is there`()
        async throws
    {
        let (folder, port, server) = (try Folder(), freePort(), LocalRedisServer())
        let worker = try Self.start("order", ["REDIS_URL": server.url, "HTTP_PORT": "\(port)"], in: folder)
        try await eventually("it answers") { try await Self.isWell("live", port, folder) }
        let ready = try await Self.health("ready", port, folder)
        #expect(ready.ending == .exited(1) && ready.output.contains("[-]redis failed: "), "\(ready.output)")
        let startup = try await Self.health("startup", port, folder)
        #expect(startup.ending == .exited(1) && startup.output.contains("[-]connection failed: "))
        try await withRedisServer(server) { server in
            try await eventually("it is ready") { try await Self.isWell("ready", port, folder) }
            let started = try await Self.health("startup", port, folder)
            #expect(started.ending == .exited(0))
            for line in ["migrations", "connection", "group order of orders", "group order of payments"] {
                #expect(started.output.contains("[+]\(line) ok\n"), "\(started.output)")
            }
            await server.kill()
            try await eventually("it is not ready") { try await !Self.isWell("ready", port, folder) }
            let away = try await Self.health("ready", port, folder)
            #expect(away.output.contains("[-]redis failed: ") && away.output.contains("[+]database ok"))
            let live = try await Self.health("live", port, folder)
            #expect(
                live.ending == .exited(0) && live.output.contains("[+]reading orders ok"), "\(live.output)")
            try await server.start()
            try await eventually("it is ready again") { try await Self.isWell("ready", port, folder) }
            server.pause()
            // An answer holds for a moment (`Probe`), which may have begun before the server was frozen.
            try await eventually("it is not ready") {
                try await Self.health("ready", port, folder).output.contains("[-]redis failed: ")
            }
            server.resume()
            worker.child.signal(SIGTERM)
            let outcome = try await worker.outcome(within: .seconds(30))
            #expect(outcome.ending == .exited(0), "\(outcome.errors)")
        }
    }

    @Test func `a worker's metrics tell what it does and what there is to do`() async throws {
        let (folder, port) = (try Folder(), freePort())
        try await withRedisServer { server in
            let client = RedisClient(try RedisConfiguration(url: server.url))
            defer { client.close() }
            let worker = try Self.start(
                "order", ["REDIS_URL": server.url, "HTTP_PORT": "\(port)", "FRESHET_VERSION": "1.2.3"],
                in: folder)
            try await WorkerTests.place("t", token: "tok_visa", client)
            try await eventually("the order is settled, and seen to be") {
                let page = try await Programs.answer(to: "/metrics", port: port)
                return [
                    "freshet_settled_total{group=\"order\",outcome=\"acknowledged\",topic=\"orders\"} 1",
                    "freshet_delivered_total{from=\"log\",group=\"order\",topic=\"orders\"} 1",
                    "freshet_handler_seconds_count{group=\"order\",topic=\"orders\"} 1",
                    "freshet_group_lag{group=\"order\",topic=\"orders\"} 0",
                    "freshet_group_lag_known{group=\"order\",topic=\"payments\"} 1",
                    "freshet_outbox_events 0",
                    "freshet_topic_entries{topic=\"orders\"} 1", "freshet_ready 1",
                    "freshet_build_info{service=\"order\",version=\"1.2.3\"} 1",
                ].allSatisfy { page.contains("\n\($0)\n") }
            }
            worker.child.signal(SIGTERM)
            let outcome = try await worker.outcome(within: .seconds(30))
            #expect(outcome.ending == .exited(0), "\(outcome.errors)")
        }
    }

    @Test func `a drain begins with not being ready, and is answered for to its end`() async throws {
        let (folder, port) = (try Folder(), freePort())
        try await withRedisServer { server in
            let client = RedisClient(try RedisConfiguration(url: server.url))
            defer { client.close() }
            let worker = try Self.start(
                "payment",
                ["REDIS_URL": server.url, "HTTP_PORT": "\(port)", "PAYMENT_PROVIDER_TIMEOUT": "600"],
                in: folder)
            try await eventually("it is ready") { try await Self.isWell("ready", port, folder) }
            try await WorkerTests.place("t", token: "tok_timeout", client)
            try await eventually("the provider is asked") {
                (try? Tampering.query("SELECT * FROM charges", on: "\(folder.path)/provider.db").count) == 1
            }
            worker.child.signal(SIGTERM)
            try await eventually("it is not ready", within: .seconds(5)) {
                try await Self.health("ready", port, folder).output.contains("[-]draining failed")
            }
            let live = try await Self.health("live", port, folder)
            #expect(live.ending == .exited(0), "\(live.output) \(live.errors)")
            #expect(worker.child.ending == nil, "it waits for what runs")
            worker.child.signal(SIGTERM)
            #expect(try await worker.outcome(within: .seconds(15)).ending == .exited(130))
        }
    }

    @Test func `any free port is in the log, a taken one is 78, and without one health says what it needs`()
        async throws
    {
        let folder = try Folder()
        try await withRedisServer { server in
            let worker = try Self.start("order", ["REDIS_URL": server.url, "HTTP_PORT": "0"], in: folder)
            try await eventually("it has started") { worker.errors.contains(#""message":"started""#) }
            let told = try #require(worker.errors.firstRange(of: #""http":"0.0.0.0:"#))
            let port = try #require(Int(worker.errors[told.upperBound...].prefix { $0.isNumber }))
            let began = ContinuousClock.now
            #expect(try await Self.isWell("ready", port, folder))
            #expect(ContinuousClock.now - began < .seconds(5))
            let second = try Self.start(
                "customer", ["REDIS_URL": server.url, "HTTP_PORT": "\(port)"], in: folder)
            let refused = try await second.outcome(within: .seconds(30))
            #expect(
                refused.ending == .exited(78) && refused.errors.contains("0.0.0.0:\(port)"),
                "\(refused.errors)")
            for environment in [[:], ["HTTP_PORT": "0"]] as [[String: String]] {
                let unknown = try await Program.run(
                    "order-worker", ["health"], environment: environment, in: folder)
                #expect(unknown.ending == .exited(78) && unknown.errors.contains("HTTP_PORT"))
            }
            let nobody = try await Self.health("live", freePort(), folder)
            #expect(nobody.ending == .exited(1) && nobody.errors.contains("refused"), "\(nobody.errors)")
            worker.child.signal(SIGTERM)
            #expect(try await worker.outcome(within: .seconds(30)).ending == .exited(0))
        }
    }

    @Test func `a worker that is configured by a file says where each setting comes from, without Redis`()
        async throws
    {
        let folder = try Folder()
        let (file, secret) = ("\(folder.path)/shop.env", "\(folder.path)/ledger")
        try "postgres://pay:hush@host/ledger\n".write(toFile: secret, atomically: false, encoding: .utf8)
        try """
        # The shop's payment service
        REDIS_URL=redis://:hush@127.0.0.1:1
        FRESHET_LEASE=7
        PAYMENT_PROVIDER_LEDGER_FILE=\(secret)
        PAYMENT_PROVIDER_TIMEOUT=3
        """.write(toFile: file, atomically: false, encoding: .utf8)
        let environment = ["FRESHET_CONFIG": file, "FRESHET_LEASE": "", "LOG_LEVEL": "error"]
        let arguments = ["--provider-timeout", "0.5", "--print-config"]
        let table = try await Program.run("payment-worker", arguments, environment: environment, in: folder)
        #expect(table.ending == .exited(0) && table.errors.isEmpty, "\(table.errors)")
        let rows = table.output.split(separator: "\n").map {
            $0.split(separator: " ", maxSplits: 1).map(String.init)
        }
        func row(_ name: String) -> String? {
            rows.first { $0[0] == name }.map { $0[1].split(separator: " ").joined(separator: " ") }
        }
        #expect(row("REDIS_URL") == "redis://:***@127.0.0.1:1 file \(file):2")
        #expect(row("FRESHET_LEASE") == "7 file \(file):3")
        #expect(row("PAYMENT_PROVIDER_LEDGER") == "postgres://pay:***@host/ledger file \(secret)")
        #expect(row("PAYMENT_PROVIDER_TIMEOUT") == "0.5 flag --provider-timeout")
        #expect(row("LOG_LEVEL") == "error environment LOG_LEVEL")
        #expect(row("FRESHET_DRAIN_TIMEOUT") == "25 default")
        #expect(row("HTTP_PORT") == "- default")
        let json = try await Program.run(
            "payment-worker", arguments + ["--format", "json"], environment: environment, in: folder)
        struct Row: Decodable { let name, value, origin: String }
        let decoded = try JSONDecoder().decode([Row].self, from: Data(json.output.utf8))
        #expect(decoded.first { $0.name == "FRESHET_LEASE" }?.value == "7")
        #expect(!table.output.contains("hush") && !json.output.contains("hush"))

        try "FRESHET_LEASE=3\nFRESHET_LAESE=4\n".write(toFile: file, atomically: false, encoding: .utf8)
        let misspelt = try await Program.run("payment-worker", [], environment: environment, in: folder)
        #expect(misspelt.ending == .exited(78))
        #expect(
            misspelt.errors.contains("\(file):2: this program has no setting 'FRESHET_LAESE'"),
            "\(misspelt.errors)")
    }

    @Test func `the tools find Redis by a file with its URL as well`() async throws {
        let folder = try Folder()
        try await withRedisServer { server in
            let secret = "\(folder.path)/redis-url"
            try "\(server.url)\n".write(toFile: secret, atomically: false, encoding: .utf8)
            try "REDIS_URL_FILE=\(secret)\n".write(
                toFile: "\(folder.path)/shop.env", atomically: false, encoding: .utf8)
            for (arguments, environment) in [
                ([], ["REDIS_URL_FILE": secret]), (["--config", "\(folder.path)/shop.env"], [:]),
            ] as [([String], [String: String])] {
                let groups = try await Program.run(
                    "freshet", ["groups"] + arguments, environment: environment, in: folder)
                #expect(groups.ending == .exited(0), "\(groups.errors)")
            }
        }
    }

    @Test func `the exporter is asked like a worker, and SIGTERM ends it with 0`() async throws {
        let (folder, port) = (try Folder(), freePort())
        try await withRedisServer { server in
            let environment = ["REDIS_URL": server.url, "HTTP_PORT": "\(port)"]
            let exporter = try Program.start("freshet", ["exporter"], environment: environment, in: folder)
            try await eventually("it is ready") { try await Self.isWell("ready", port, folder) }
            await server.kill()
            try await eventually("it is not ready") { try await !Self.isWell("ready", port, folder) }
            let live = try await Self.health("live", port, folder)
            #expect(live.ending == .exited(0))
            exporter.child.signal(SIGTERM)
            let outcome = try await exporter.outcome(within: .seconds(30))
            #expect(outcome.ending == .exited(0), "\(outcome.errors)")
        }
    }
}
