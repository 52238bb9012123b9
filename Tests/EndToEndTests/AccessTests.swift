import FoundationEssentials
import Freshet
import FreshetTesting
import Glibc
import Hiredis
import Testing

/// Each user of docker/acl/users.conf may do what he has to do, and nothing else.
@Suite(.serialized) struct AccessTests {
    private static let services = WorkerTests.services

    /// Who does what, and with whose rights that is tried: a role has no namespace's keys of its own.
    private static func steps(of user: String) -> [AccessStep] {
        switch user {
        case ".client", ".worker": AccessStep.ofWorkers + [AccessStep.service("order")]
        case "place": AccessStep.ofPlacing
        case "exporter": AccessStep.ofLooking
        default: services.contains(user) ? [AccessStep.service(user)] : []
        }
    }

    /// The rights of a user of the list in another namespace.
    private static func rights(of user: String, in space: Namespace, on guarded: GuardedServer) throws
        -> [String]
    {
        if user.hasPrefix(".") {
            let commands = try #require(guarded.rights["order"]).filter { $0.hasPrefix("+") }
            return commands + ["~\(space):*"]
        }
        return try #require(guarded.rights[user], "\(user)").map {
            $0.hasPrefix("~shop:") ? "~\(space):" + $0.dropFirst("~shop:".count) : $0
        }
    }

    @Test func `workers do all they promise with their rights, and are refused nothing`() async throws {
        let jobs = (Self.services + ["place", "exporter", ".worker"]).flatMap { user in
            Self.steps(of: user).filter {
                user != ".worker" || $0.description != AccessStep.service("order").description
            }
            .map { (user: user, step: $0) }
        }
        try await Self.onServers(jobs.map(\.step)) { number, step, space, guarded in
            let name = "able-\(space)"
            try await guarded.add(name, Self.rights(of: jobs[number].user, in: space, on: guarded))
            let outcome = try await step.run(by: name, in: space, on: guarded)
            #expect(
                outcome.refusals.isEmpty && outcome.error == nil, "\(jobs[number].user): \(step): \(outcome)")
        }
    }

    @Test func `each right is in the docs with its reason and with what fails without it`() async throws {
        let rows = try AccessList.rows()
        let documented = Set(rows.map(\.right.user))
        let rights = try AccessList.rights().filter { documented.contains($0.right.user) }
        let known = Set(rights.map(\.right))
        let unneeded = known.subtracting(rows.map(\.right)).map(\.description).sorted()
        #expect(unneeded.isEmpty, "docs/access.md names nothing that needs these")
        let unknown = Set(rows.map(\.right)).subtracting(known).map(\.description).sorted()
        #expect(unknown.isEmpty, "docker/acl/users.conf does not have these")
        #expect(rows.count == rights.count, "each once")
        for (right, reason) in rights {
            let row = rows.first { $0.right == right }
            #expect(row == nil || row?.reason == reason, "\(right)")
        }
        #expect(documented == ([".client", ".worker", "place", "exporter"] as Set).union(Self.services))
    }

    @Test func `without any one right of its list a user fails`() async throws {
        let rows = try AccessList.rows().filter { !Self.steps(of: $0.right.user).isEmpty }
        let steps = try rows.map { row in
            try #require(
                Self.steps(of: row.right.user).first { $0.description == row.step },
                "docs/access.md: nothing is called '\(row.step)'")
        }
        try await Self.onServers(steps) { number, step, space, guarded in
            let (right, name) = (rows[number].right, "unable-\(space)")
            var rights = try Self.rights(of: right.user, in: space, on: guarded)
            let lacking = right.right.replacing("~shop:", with: "~\(space):")
            let before = rights.count
            rights.removeAll { $0 == lacking }
            #expect(rights.count == before - 1, "\(right)")
            try await guarded.add(name, rights)
            let outcome = try await step.run(by: name, in: space, on: guarded)
            let isNamed =
                right.right.hasPrefix("~")
                ? outcome.refusals.contains { $0.reason == "key" }
                : outcome.refusals.contains {
                    $0.reason == "command" && $0.object == right.right.dropFirst()
                }
            #expect(isNamed, "nothing needs \(right): \(step): \(outcome)")
        }
    }

    /// Runs the steps side by side, each in a namespace of its own on the server that it needs.
    private static func onServers(
        _ steps: [AccessStep],
        _ body: @escaping @Sendable (Int, AccessStep, Namespace, GuardedServer) async throws -> Void
    ) async throws {
        func run(_ place: AccessStep.Place, on guarded: GuardedServer) async {
            let own = steps.indices.filter { steps[$0].place == place }
            await withTaskGroup(of: Void.self) { tasks in
                for (count, number) in own.enumerated() {
                    if count >= 8 { await tasks.next() }
                    tasks.addTask {
                        do {
                            try await body(number, steps[number], Namespace(unchecked: "a\(number)"), guarded)
                        } catch { Issue.record(error, "\(steps[number])") }
                    }
                }
            }
        }
        async let behindSentinels: Void = {
            guard steps.contains(where: { $0.place == .sentinels }) else { return }
            try await GuardedServer.behindSentinels { await run(.sentinels, on: $0) }
        }()
        try await GuardedServer.with { await run(.server, on: $0) }
        try await behindSentinels
    }

    @Test func `the whole shop runs as its users, and none is refused anything`() async throws {
        try await GuardedServer.with { guarded in
            let folder = try Folder()
            try await folder.makeData()
            let tools = ["--redis-url", guarded.url(of: "operator"), "--namespace", "shop"]
            func start(_ service: String) throws -> Running {
                try Program.start(
                    "\(service)-worker", [],
                    environment: [
                        "REDIS_URL": guarded.url(of: service),
                        "DATABASE_URL": folder.databaseURL(of: service),
                        "PAYMENT_PROVIDER_LEDGER": folder.databaseURL(of: "provider"), "HTTP_PORT": "0",
                        "FRESHET_ORDERING": service == "payment" ? "any" : "perKey",
                    ], in: folder)
            }
            var workers = try (Self.services + ["customer", "payment"]).map { try start($0) }
            defer { for worker in workers { worker.child.signal(SIGKILL) } }
            let placed = try await Program.run(
                "shop",
                ["place", "--orders", folder.demoOrders(60), "--redis-url", guarded.url(of: "place")],
                in: folder)
            #expect(placed.ending == .exited(0), "\(placed.errors)")
            for token in ["tok_flaky", "tok_declined"] {
                try await WorkerTests.place(token, token: token, guarded.admin)
            }
            try await guarded.admin.send(
                RedisCommand("XADD", "shop:events:{orders:0}", "*", "specversion", "1.0", "id", "no-event"))
            func settled() async throws {
                try await eventually("all is settled") {
                    // 62 orders and what became of them, and the one that is none.
                    let length = try await guarded.admin.send(.xlen("shop:events:{orders:0}"))
                    let groups = try await Program.run(
                        "freshet",
                        [
                            "groups", "--format", "json", "--redis-url", guarded.url(of: "exporter"),
                            "--namespace", "shop",
                        ],
                        in: folder)
                    let list = try ToolTests.json([ToolTests.Group].self, groups.output)
                    return length == 125 && list.count == 5
                        && list.allSatisfy { $0.waiting + $0.pending + $0.delayed == 0 && $0.lagKnown }
                }
            }
            try await settled()
            try await RebuildTests.stop([workers[1]])
            workers[1] = try start("customer")
            for arguments in [
                ["run", "--mode", "rebuild", "--group", "order", "--yes", "--reason", "a test"],
                [
                    "redeliver", "--topic", "orders", "--group", "payment", "--from", "start", "--to", "end",
                    "--yes",
                ],
            ] {
                let replayed = try await Program.run("replay", arguments + tools, in: folder)
                #expect(replayed.ending == .exited(0), "\(replayed.errors)")
            }
            try await settled()
            let exported = try await Program.run(
                "freshet",
                ["exporter", "--once", "--redis-url", guarded.url(of: "exporter"), "--namespace", "shop"],
                in: folder)
            #expect(exported.output.contains("freshet_group_delayed{"), "\(exported.errors)")
            try await RebuildTests.stop(workers)
            try await verifyShop(folder, redisURL: guarded.url(of: "operator"))
            let refusals = try await guarded.refusals()
            #expect(refusals.isEmpty, "\(refusals)")
        }
    }
}
