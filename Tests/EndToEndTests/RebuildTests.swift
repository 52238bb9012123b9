import Freshet
import FreshetRecords
import FreshetTesting
import Glibc
import Hiredis
import Testing

@Suite(.serialized) struct RebuildTests {
    @Test(arguments: Store.allCases)
    func `records that a bug has spoilt are what they were after a rebuild, and nobody is charged again`(
        store: Store
    ) async throws {
        try await WorkerTests.withWorkers(on: store) { server, client, folder in
            try await Self.place(200, server, folder)
            try await WorkerTests.place("declined", token: "tok_declined", client)
            try await Self.settle(402, server, client, folder)
            let right = try await Self.records(folder)
            for service in Self.services {
                let report = try await Self.rebuild(service, ["--dry-run"], server, folder)
                #expect(!report.isSwapped && report.missing.count == 0, "\(service): \(report.missing)")
            }
            try await Self.execute(
                [
                    "UPDATE orders SET total_minor = total_minor + 1 WHERE status = 'confirmed'",
                    "DELETE FROM order_lines WHERE line = 1",
                ], "order", folder)
            try await Self.execute(["DELETE FROM customers"], "customer", folder)
            try await Self.execute(
                ["UPDATE payments SET status = 'declined', provider_reference = NULL"], "payment", folder)
            let spoilt = try await Self.records(folder)
            let found = try await Self.rebuild("order", ["--dry-run"], exits: 2, server, folder)
            let confirmed = right["orders"]?.filter { $0["status"] == "confirmed" }.count ?? 0
            #expect(
                try found.table("orders").differing == confirmed
                    && found.table("orders").equal == 201 - confirmed)
            #expect(try found.table("order_lines").onlyRebuilt == 201)
            #expect(try await Self.records(folder) == spoilt, "a dry run changes nothing")
            for service in Self.services {
                let report = try await Self.rebuild(service, [], server, folder)
                #expect(report.isSwapped && report.missing.count == 0, "\(service): \(report.missing)")
                #expect(try await Self.leftovers(service, folder, store) == [])
            }
            #expect(try await Self.records(folder) == right)
            // And the workers, whose tables were changed under their hands, go on.
            try await WorkerTests.place("later", client)
            try await Self.settle(404, server, client, folder)
            #expect(
                try await WorkerTests.rows("SELECT * FROM orders WHERE status = 'confirmed'", "order", folder)
                    .count == confirmed + 1)
        }
    }

    @Test(arguments: Store.allCases)
    func `a service whose database is lost has it again from the history, and goes on`(store: Store)
        async throws
    {
        try await WorkerTests.withWorkers([], on: store) { server, client, folder in
            var workers = try Self.services.map { try WorkerTests.start($0, [:], server, folder) }
            try await Self.place(100, server, folder)
            try await WorkerTests.place("declined", token: "tok_declined", client)
            try await Self.settle(202, server, client, folder)
            let right = try await Self.records(folder)
            try await Self.stop(workers)
            for service in Self.services {
                try await Self.lose(service, folder, store)
                let report = try await Self.rebuild(service, [], server, folder)
                #expect(report.isSwapped && report.missing.count == 0, "\(service): \(report.missing)")
            }
            #expect(try await Self.records(folder) == right)
            workers = try Self.services.map { try WorkerTests.start($0, [:], server, folder) }
            for number in 0..<20 { try await WorkerTests.place("more-\(number)", client) }
            try await Self.settle(242, server, client, folder)
            // What the payment service's inbox has lost with its database, its payments know.
            let replayed = try await ToolTests.tool(
                "replay",
                [
                    "redeliver", "--topic", "orders", "--group", "payment", "--from", "start", "--to", "end",
                    "--yes",
                ], server, folder)
            #expect(replayed.ending == .exited(0), "\(replayed.errors)")
            try await Self.settle(242, server, client, folder)
            let charges = try await WorkerTests.rows("SELECT * FROM charges", "provider", folder)
            #expect(charges.count == 121 && charges.allSatisfy { $0["attempts"] == "1" })
            try await Self.stop(workers)
        }
    }

    @Test func `a refund that was to be asked for, of a payment that came after the cancellation, is missed`()
        async throws
    {
        try await Store.sqlite.withFolder { folder in
            try await folder.makeData()
            try await withRedisServer { server in
                let client = RedisClient(try RedisConfiguration(url: server.url))
                defer { client.close() }
                let (order, then) = (#""orderId":"o1""#, "2026-01-02T03:04:05Z")
                for (topic, id, source, type, data) in [
                    ("orders", "1000-0", "test", "order.placed", WorkerTests.data("o1")),
                    (
                        "orders", "2000-0", "order", "order.cancelled",
                        #"{\#(order),"customerId":"c1","reason":"overdue","cancelledAt":"\#(then)"}"#
                    ),
                    (
                        "payments", "3000-0", "payment", "payment.captured",
                        #"{\#(order),"currency":"EUR","amount":1250,"providerReference":"p","capturedAt":"\#(then)"}"#
                    ),
                ] {
                    try await client.send(
                        RedisCommand(
                            "XADD", "shop:events:{\(topic):0}", id, "specversion", "1.0", "id", type,
                            "source",
                            source, "type", type, "partitionkey", "o1", "causationid", "order.placed", "data",
                            data))
                }
                for topic in ["orders", "payments"] {
                    try await client.send(
                        RedisCommand("XGROUP", "CREATE", "shop:events:{\(topic):0}", "payment", "$"))
                }
                let report = try await Self.rebuild("payment", ["--publish-missing"], server, folder)
                #expect(report.isSwapped && report.missing.count == 1 && report.missing.published == 1)
                #expect(report.missing.examples.map(\.type) == ["payment.refund_requested"])
            }
        }
    }
}
