import Freshet
import FreshetRecords
import FreshetTesting
import Glibc
import Hiredis
import Testing

/// Rebuilds beside workers, and such that do not come to their end.
extension RebuildTests {
    @Test(arguments: Store.allCases)
    func `rebuilds while thousands of orders are handled lose none and handle none twice`(store: Store)
        async throws
    {
        let count = 2000
        try await WorkerTests.withWorkers(on: store) { server, client, folder in
            let placing = try Program.start(
                "shop",
                ["place", "--orders", folder.demoOrders(count), "--redis-url", server.url, "--rate", "400"],
                in: folder)
            var caughtUp = 0
            repeat {
                for service in Self.services {
                    let report = try await Self.rebuild(service, [], server, folder)
                    #expect(report.isSwapped)
                    caughtUp += report.events.caughtUp
                }
            } while placing.child.ending == nil
            #expect(try await placing.outcome().ending == .exited(0))
            #expect(caughtUp > 0, "workers handled something meanwhile")
            try await Self.settle(2 * count, server, client, folder)
            // What the workers and the rebuilds have made of it together is what the history says.
            for service in Self.services {
                let report = try await Self.rebuild(service, ["--dry-run"], server, folder)
                #expect(report.missing.count == 0, "\(service): \(report.missing)")
            }
            let charges = try await WorkerTests.rows("SELECT * FROM charges", "provider", folder)
            #expect(
                charges.count == count
                    && charges.allSatisfy { ($0["attempts"].flatMap { Int($0) } ?? 0) <= 2 })
        }
    }

    @Test(arguments: Store.allCases)
    func `a rebuild that is killed at any moment leaves the tables as they were, or as they should be`(
        store: Store
    ) async throws {
        try await WorkerTests.withWorkers(on: store) { server, client, folder in
            try await Self.place(300, server, folder)
            try await Self.settle(600, server, client, folder)
            let right = try await Self.records(folder)
            let began = ContinuousClock.now
            try await Self.rebuild("order", ["--dry-run"], server, folder)
            let whole = ContinuousClock.now - began
            let seed = UInt64.random(in: 0 ... .max)
            var random = Seeded(seed)
            for number in 0..<8 {
                try await Self.execute(["UPDATE orders SET total_minor = 0"], "order", folder)
                let spoilt = try await Self.records(folder)
                let running = try Self.start("order", [], server, folder)
                try await Task.sleep(for: whole * Double.random(in: 0...1.2, using: &random))
                running.child.signal(SIGKILL)
                _ = await running.child.wait()
                let records = try await Self.records(folder)
                #expect(records == spoilt || records == right, "seed \(seed), number \(number)")
            }
            let interrupted = try Self.start("order", [], server, folder)
            try await eventually("it has begun") {
                interrupted.errors.contains("rebuilding") || interrupted.child.ending != nil
            }
            interrupted.child.signal(SIGTERM)
            let ending = try await interrupted.outcome().ending
            // It may have been through.
            #expect(ending == .exited(130) || ending == .exited(0), "\(ending): \(interrupted.errors)")
            if ending == .exited(130) {
                #expect(try await Self.leftovers("order", folder, store) == [])
            }
            try await Self.rebuild("order", [], server, folder)
            #expect(try await Self.records(folder) == right)
            #expect(try await Self.leftovers("order", folder, store) == [])
        }
    }

    @Test(arguments: Store.allCases)
    func `what a lost outbox did not publish is reported, and published when that is asked for`(store: Store)
        async throws
    {
        try await WorkerTests.withWorkers([], on: store) { server, client, folder in
            // The order service had handled both, its database was lost, and nobody was told.
            try await WorkerTests.place("o1", client)
            let captured = PaymentCaptured(orderId: "o1")
            try await client.send(
                RedisCommand(
                    "XADD", "shop:events:{payments:0}", "*", "specversion", "1.0", "id", "p1", "source",
                    "payment", "type", "payment.captured", "causationid", "o1", "partitionkey", "o1", "data",
                    captured.json))
            for topic in ["orders", "payments"] {
                try await client.send(
                    RedisCommand("XGROUP", "CREATE", "shop:events:{\(topic):0}", "order", "$"))
                try await client.send(
                    RedisCommand("HSET", "shop:topic:{\(topic)}", "partitions", "1", "start:order:0", "0-0"))
            }
            for (flags, published) in [([], 0), (["--publish-missing"], 2)] as [([String], Int)] {
                let report = try await Self.rebuild("order", flags, server, folder)
                #expect(report.isSwapped && report.missing.count == 2, "\(report.missing)")
                #expect(report.missing.published == published)
                let orders = try await WorkerTests.rows("SELECT * FROM orders", "order", folder)
                #expect(orders.map { $0["status"] } == ["confirmed"])
                let outbox = try await WorkerTests.rows("SELECT type FROM outbox", "order", folder)
                #expect(outbox.count == published)
            }
            let workers = try Self.services.map { try WorkerTests.start($0, [:], server, folder) }
            try await eventually("the customer's order is confirmed") {
                (try? await WorkerTests.rows(
                    "SELECT * FROM customers WHERE orders_confirmed = 1", "customer", folder))?.count == 1
            }
            try await eventually("its payment is there") {
                (try? await WorkerTests.rows("SELECT * FROM payments", "payment", folder))?.count == 1
            }
            try await Self.stop(workers)
            let report = try await Self.rebuild("order", ["--dry-run"], server, folder)
            #expect(report.missing.count == 0, "\(report.missing)")
        }
    }

    private struct PaymentCaptured {
        let orderId: String
        var json: String {
            """
            {"orderId":"\(orderId)","currency":"EUR","amount":1250,"providerReference":"emb_\(orderId)",\
            "capturedAt":"2026-01-02T03:04:06.000Z"}
            """
        }
    }

    @Test(arguments: Store.allCases)
    func `what the service has not done with is left to its workers, and is done once`(store: Store)
        async throws
    {
        try await WorkerTests.withWorkers([], on: store) { server, client, folder in
            for order in ["dead", "done", "held", "next"] { try await WorkerTests.place(order, client) }
            let log = "shop:events:{orders:0}"
            let entries = try await client.send(.xrange(log))
            try await client.send(RedisCommand("XGROUP", "CREATE", log, "order", entries[1].id))
            try await client.send(
                RedisCommand("HSET", "shop:topic:{orders}", "partitions", "1", "start:order:0", "0-0"))
            // A consumer that is gone holds one.
            try await client.send(
                RedisCommand("XREADGROUP", "GROUP", "order", "gone", "COUNT", 1, "STREAMS", log, ">"))
            let dead: [any RedisArgument] =
                ["XADD", "shop:dead:{orders:0}:order", "*"]
                + Array(entries[0].fields).compactMap(\.string) + ["freshetoriginalid", entries[0].id]
            try await client.send(RedisCommand(arguments: dead))
            let report = try await Self.rebuild("order", [], server, folder)
            #expect(report.events.applied == 1 && report.missing.count == 1, "\(report)")
            let orders = try await WorkerTests.rows("SELECT * FROM orders", "order", folder)
            #expect(orders.map { $0["order_id"] } == ["done"])
            let workers = try Self.services.map { try WorkerTests.start($0, [:], server, folder) }
            try await eventually("the others are confirmed") {
                try await WorkerTests.rows(
                    "SELECT * FROM orders WHERE status = 'confirmed'", "order", folder
                ).count == 3
            }
            try await Self.settle(4 + 3, server, client, folder)
            try await Self.stop(workers)
            let again = try await Self.rebuild("order", ["--dry-run"], server, folder)
            #expect(again.events.notHandled == 1, "\(again)")
        }
    }

    @Test func `a history that lacks what was handled is refused, and one rebuild at a time is let in`()
        async throws
    {
        try await WorkerTests.withWorkers([], on: .sqlite) { server, client, folder in
            let worker = try WorkerTests.start("order", [:], server, folder)
            for number in 0..<5 { try await WorkerTests.place("\(number)", client) }
            try await eventually("all are there") {
                (try? await WorkerTests.rows("SELECT * FROM orders", "order", folder))?.count == 5
            }
            try await Self.stop([worker])
            // Nobody reads it any more.
            let first = try await client.send(.xrange("shop:events:{orders:0}", count: 1))[0]
            let fields = Array(first.fields).compactMap(\.string)
            try await client.send(.xdel("shop:events:{orders:0}", [first.id]))
            let before = try await WorkerTests.rows("SELECT * FROM orders ORDER BY order_id", "order", folder)
            let refused = try await Self.start("order", [], server, folder).outcome()
            #expect(refused.ending == .exited(1) && refused.errors.contains("not whole"), "\(refused.errors)")
            #expect(refused.output == "")
            #expect(
                try await WorkerTests.rows("SELECT * FROM orders ORDER BY order_id", "order", folder)
                    == before)
            let report = try await Self.rebuild(
                "order", ["--allow-gaps", "--dry-run"], exits: 2, server, folder)
            #expect(try report.table("orders").onlyLive == 1)
            let wrong = try await Self.start("order", ["--dry-run", "--publish-missing"], server, folder)
                .outcome()
            #expect(wrong.ending == .exited(64))
            // As another process would hold it.
            let lock = unsafe open("\(folder.path)/data/order.db.rebuild-lock", O_CREAT | O_RDWR, 0o644)
            #expect(flock(lock, LOCK_EX | LOCK_NB) == 0)
            let busy = try await Self.start("order", [], server, folder).outcome()
            #expect(busy.ending == .exited(75) && busy.errors.contains("under way"), "\(busy.errors)")
            close(lock)
            // For the shop's own check.
            try await client.send(
                RedisCommand(arguments: ["XADD", "shop:events:{orders:0}", "*"] + fields))
            let workers = try Self.services.map { try WorkerTests.start($0, [:], server, folder) }
            try await eventually("all are confirmed") {
                (try? await WorkerTests.rows(
                    "SELECT * FROM orders WHERE status = 'confirmed'", "order", folder))?.count == 5
            }
            try await eventually("all is settled") {
                let groups = try await ToolTests.tool(
                    "freshet", ["groups", "--over", "0s", "--format", "json"], server, folder)
                return try ToolTests.json([ToolTests.Group].self, groups.output).allSatisfy {
                    $0.waiting + $0.pending + $0.delayed == 0
                }
            }
            try await Self.stop(workers)
        }
    }
}
