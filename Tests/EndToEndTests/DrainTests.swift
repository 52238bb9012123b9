import FoundationEssentials
import Freshet
import FreshetTesting
import Glibc
import Hiredis
import Testing

/// Workers that are asked to stop, as processes.
@Suite(.serialized) struct DrainTests {
    /// A worker of numbered events, its handlers waiting so many milliseconds, and ready.
    private static func withWorker(
        waiting wait: Int = 0, drainTimeout: Double, ordering: String = "any",
        _ body: (Running, RedisClient, LocalRedisServer) async throws -> Void
    ) async throws {
        let folder = try Folder()
        try await withRedisServer { server in
            let client = RedisClient(try RedisConfiguration(url: server.url))
            defer { client.close() }
            let worker = try Program.start(
                "soak",
                [
                    "worker", "--partitions", "1", "--journal", "\(folder.path)/journal", "--shortest",
                    "\(wait)",
                ],
                environment: [
                    "REDIS_URL": server.url, "DATABASE_URL": "sqlite:\(folder.path)/effects.db",
                    "FRESHET_DRAIN_TIMEOUT": "\(drainTimeout)", "FRESHET_ORDERING": ordering,
                ], in: folder)
            defer { worker.child.signal(SIGKILL) }
            try await eventually("it has started") { worker.errors.contains("\"started\"") }
            try await body(worker, client, server)
        }
    }

    /// Publishes, and waits until the handler has begun: what is delivered and not begun a drain hands back.
    private static func publish(_ data: String, to worker: Running, _ client: RedisClient) async throws {
        try await client.send(
            RedisCommand(
                "XADD", "soak:events:{numbered:0}", "*", "specversion", "1.0", "id", "t", "source", "test",
                "type", "soak.numbered", "data", data))
        let folder = worker.errorFile.split(separator: "/").dropLast().joined(separator: "/")
        try await eventually("its handler has begun") {
            let journal = try String(contentsOfFile: "/\(folder)/journal", encoding: .utf8)
            return journal.split(separator: "\n").contains { $0.hasPrefix("S ") }
        }
    }

    /// How it ended, and how long after the signal.
    private static func stop(_ worker: Running, within limit: Duration) async throws -> (
        outcome: Program.Outcome, took: Duration
    ) {
        let began = ContinuousClock.now
        worker.child.signal(SIGTERM)
        return (try await worker.outcome(within: limit), ContinuousClock.now - began)
    }

    @Test(arguments: ["any", "perKey"])
    func `workers leave one after the other under load, and nothing is delivered twice`(ordering: String)
        async throws
    {
        // On a machine that others use as well a process can stand still for longer than a hand-over takes.
        let isAlone = ProcessInfo.processInfo.environment["FRESHET_STRICT_TIMING"] != nil
        let outcome = try await Program.run(
            "soak",
            ["drain", "--drains", "5", "--ordering", ordering, "--within", isAlone ? "100" : "2000"],
            in: Folder(), within: .seconds(180))
        #expect(outcome.ending == .exited(0), "\(outcome.output) \(outcome.errors)")
    }

    @Test(arguments: ["slow", "stuck", "blocking"])
    func `a handler that hangs is left to others at the limit, with its number and exit code 2`(
        handler: String
    ) async throws {
        try await Self.withWorker(drainTimeout: 2) { worker, client, _ in
            try await Self.publish(handler, to: worker, client)
            let (outcome, took) = try await Self.stop(worker, within: .seconds(30))
            #expect(outcome.ending == .exited(2), "\(outcome.errors)")
            let said = outcome.errors.contains("not settled within 2.0 seconds (FRESHET_DRAIN_TIMEOUT): 1 of")
            #expect(said, "\(outcome.errors)")
            // The limit, and what a busy machine takes to notice.
            #expect(took >= .milliseconds(1500) && took < .seconds(6), "\(took)")
            let left = try await client.send(.xpending("soak:events:{numbered:0}", "free"))
            #expect(left.count == 1)
        }
    }

    @Test func `a second SIGTERM ends it at once, with 130`() async throws {
        try await Self.withWorker(drainTimeout: 60) { worker, client, _ in
            try await Self.publish("slow", to: worker, client)
            worker.child.signal(SIGTERM)
            try await eventually("it drains") { worker.errors.contains("\"draining\"") }
            let (outcome, took) = try await Self.stop(worker, within: .seconds(30))
            #expect(outcome.ending == .exited(130) && took < .seconds(10))
        }
    }

    @Test(arguments: ["any", "perKey"])
    func `without its server an idle worker ends within the limit, with 0`(ordering: String) async throws {
        try await Self.withWorker(drainTimeout: 20, ordering: ordering) { worker, _, server in
            await server.kill()
            let (outcome, took) = try await Self.stop(worker, within: .seconds(40))
            #expect(outcome.ending == .exited(0), "\(outcome.errors)")
            // It does not wait for the limit: there is nothing that it could save.
            #expect(took < .seconds(15), "\(took): \(outcome.errors)")
        }
    }

    @Test func `what ended and cannot be settled is said at the limit`() async throws {
        try await Self.withWorker(waiting: 1000, drainTimeout: 4) { worker, client, server in
            try await Self.publish("1", to: worker, client)
            await server.kill()
            let (outcome, took) = try await Self.stop(worker, within: .seconds(40))
            #expect(outcome.ending == .exited(2), "\(outcome.errors)")
            #expect(outcome.errors.contains("(FRESHET_DRAIN_TIMEOUT): 1 of"), "\(outcome.errors)")
            #expect(took < .seconds(8), "\(took)")
        }
    }

    @Test(arguments: ["REDIS_URL", "DATABASE_URL"])
    func `during a start that waits for a server it ends at once, with 0`(missing: String) async throws {
        let folder = try Folder()
        try await withRedisServer { server in
            var environment = [
                "REDIS_URL": server.url, "DATABASE_URL": "sqlite:\(folder.path)/order.db",
            ]
            let none = ["REDIS_URL": "redis://127.0.0.1:1", "DATABASE_URL": "postgres://127.0.0.1:1/none"]
            environment[missing] = none[missing]
            let worker = try Program.start("order-worker", [], environment: environment, in: folder)
            try await eventually("it waits") {
                worker.errors.contains("trying again") || worker.errors.contains("waiting for the database")
            }
            let (outcome, took) = try await Self.stop(worker, within: .seconds(40))
            #expect(outcome.ending == .exited(0), "\(outcome.errors)")
            #expect(took < .seconds(10), "\(took)")
        }
    }
}
