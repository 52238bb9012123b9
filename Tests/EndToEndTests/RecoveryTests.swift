import FoundationEssentials
import Freshet
import FreshetRecords
import FreshetTesting
import Glibc
import Hiredis
import Testing

/// Each case of docs/recovery.md, with its own commands.
@Suite(.serialized) struct RecoveryTests {
    @Test(arguments: Store.allCases) func `1: records that a bug wrote wrong are those of the history again`(
        store: Store
    ) async throws {
        try await RecoveringShop.with(store) { shop in
            try await shop.place(1...100)
            try await shop.runbook.run("archive")
            let before = try await shop.records()
            try await RecordsDatabase.open(url: shop.folder.databaseURL(of: "order")).transaction { records in
                try records.execute(
                    "UPDATE orders SET total_minor = total_minor + 1 WHERE order_id LIKE '%7'")
                try records.execute("DELETE FROM order_lines WHERE order_id LIKE '%3'")
                try records.execute("UPDATE orders SET status = 'placed' WHERE order_id LIKE '%5'")
            }
            #expect(try await shop.records() != before)
            let look = try await shop.runbook.run("bug-look", exitCode: 2)
            #expect(look.output.contains("orders"), "\(look.output)")
            #expect(try await shop.records() != before, "it only looked")
            try await shop.runbook.run("bug-rebuild")
            try await shop.expectRecords(before)
            try await shop.runbook.run("bug-look")
            try await shop.place(101...130)
        }
    }

    @Test(arguments: Store.allCases) func `2: a lost database is made anew, and nobody is charged again`(
        store: Store
    ) async throws {
        try await RecoveringShop.with(store) { shop in
            try await shop.place(1...100)
            try await shop.runbook.run("archive")
            let before = try await shop.records()
            try await shop.stop(["payment"])
            try await shop.loseDatabase(of: "payment")
            try await shop.runbook.run("database-rebuild")
            try await shop.expectRecords(before)
            try shop.start(["payment"])
            try await shop.runbook.run("database-redeliver")
            try await shop.settle()
            try await shop.expectRecords(before)
            try await shop.place(101...130)
        }
    }

    @Test(arguments: Store.allCases) func `3: what Redis lost of its last seconds is published again`(
        store: Store
    ) async throws {
        try await RecoveringShop.with(store) { shop in
            try await shop.place(1...60)
            try await shop.client.send(RedisCommand("SAVE"), timeout: .seconds(30))
            try await shop.place(61...120)
            try await shop.runbook.run("archive")
            let before = try await shop.records()
            let known = try await shop.eventNames()
            await shop.server.kill()
            try await shop.server.start()
            try await eventually("it is back, without its last seconds") {
                (try? await shop.eventNames()).map { $0 != known } ?? false
            }
            try await shop.runbook.run("seconds-look")
            try await shop.runbook.run("seconds-publish")
            try await eventually("every event is there again") {
                try await shop.eventNames().isSuperset(of: known)
            }
            try await shop.settle()
            // The provider is asked again, under the same key.
            try await shop.expectRecords(before, onlyTheServices: true)
            try await shop.place(121...150)
        }
    }

    @Test(arguments: Store.allCases) func `4: a Redis that is lost whole comes back from the archive`(
        store: Store
    ) async throws {
        try await RecoveringShop.with(store) { shop in
            try await shop.place(1...100)
            try await shop.runbook.run("archive")
            let before = try await shop.records()
            let known = try await shop.eventNames()
            try await shop.stop(WorkerTests.services)
            try await shop.client.send(RedisCommand("FLUSHALL"))
            try await shop.runbook.run("redis-restore")
            #expect(try await shop.eventNames() == known)
            try shop.start(WorkerTests.services)
            try await shop.settle()
            try await shop.expectRecords(before)
            try await shop.place(101...130)
        }
    }

    @Test(arguments: Store.allCases) func `5: what was dead-lettered for a day is done in the end`(
        store: Store
    )
        async throws
    {
        try await RecoveringShop.with(store) { shop in
            try await shop.place(1...30)
            let ledger = try RecordsDatabase.open(url: shop.folder.databaseURL(of: "provider"))
            // Of these three orders the provider can take one.
            _ = try await ledger.transaction {
                try $0.execute(
                    """
                    CREATE UNIQUE INDEX broken ON charges
                      ((CASE WHEN order_id IN ('cdnow-000033', 'cdnow-000034', 'cdnow-000035') THEN 1 END))
                    """)
            }
            try await shop.placeOnly(31...60)
            try await eventually("charges are given up", within: .seconds(90)) {
                try await shop.client.send(
                    RedisCommand("XLEN", "shop:dead:{orders:0}:payment")
                ).integer == 2
            }
            let look = try await shop.runbook.run("dead-look")
            #expect(look.output.lowercased().contains("unique"), "\(look.output)")
            _ = try await ledger.transaction { try $0.execute("DROP INDEX broken") }
            try await shop.runbook.run("dead-replay")
            try await shop.settle()
            // As if nothing had happened, but for the hour at which it did.
            try await RecoveringShop.with(store) { undisturbed in
                try await undisturbed.place(1...60)
                let (own, other) = (try await shop.records(), try await undisturbed.records())
                #expect(RecoveringShop.withoutTimes(own) == RecoveringShop.withoutTimes(other))
            }
        }
    }

    @Test(arguments: Store.allCases) func `6: a new service has all history, also what the log has no more`(
        store: Store
    ) async throws {
        try await RecoveringShop.with(store) { shop in
            try await shop.place(1...100)
            try await shop.runbook.run("archive")
            try await shop.cutLogs(to: 20)
            try await shop.startNewService()
            try await shop.runbook.run("new-replay")
            for table in ["customers", "customer_orders"] {
                let sql = "SELECT * FROM \(table) ORDER BY 1"
                let wanted = try await WorkerTests.rows(sql, "customer", shop.folder)
                try await eventually("it has the same \(table)") {
                    try await WorkerTests.rows(sql, "crm", shop.folder) == wanted
                }
            }
        }
    }

    @Test func `every step of the runbook is run by a test`() throws {
        let runbook = try Runbook(LocalRedisServer(), Folder())
        #expect(
            runbook.names == [
                "archive", "bug-look", "bug-rebuild", "database-rebuild", "database-redeliver",
                "seconds-look",
                "seconds-publish", "redis-restore", "dead-look", "dead-replay", "new-replay",
            ])
    }
}

extension RecoveryTests {
    @Test(arguments: Store.allCases) func `a running worker is told to make its tables anew, and goes on`(
        store: Store
    ) async throws {
        try await RecoveringShop.with(store) { shop in
            try await shop.place(1...60)
            let before = try await shop.records()
            try await RecordsDatabase.open(url: shop.folder.databaseURL(of: "customer")).transaction {
                try $0.enqueue("UPDATE customers SET spent_minor = spent_minor + 1")
            }
            func replay(_ arguments: String...) async throws -> Program.Outcome {
                try await ToolTests.tool("replay", arguments, shop.server, shop.folder)
            }
            let planned = try await replay("plan", "--mode", "rebuild", "--group", "customer")
            #expect(planned.exitCode == 2 && planned.output.contains("customers"), "\(planned.errors)")
            #expect(try await shop.records() != before, "it only looked")
            let rebuilt = try await replay(
                "run", "--mode", "rebuild", "--group", "customer", "--yes", "--reason", "wrong sums")
            #expect(rebuilt.exitCode == 0 && rebuilt.output.contains("in use"), "\(rebuilt.errors)")
            try await shop.expectRecords(before)
            let audit = try await replay("audit")
            #expect(audit.output.contains("replay.rebuild.done") && audit.output.contains("wrong sums"))
            let nobody = try await replay("run", "--mode", "rebuild", "--group", "nobody", "--yes")
            #expect(
                nobody.exitCode == 75 && nobody.errors.contains("no worker of 'nobody'"), "\(nobody.errors)")
            let wrong = try await replay(
                "run", "--mode", "rebuild", "--group", "order", "--topic", "orders", "--yes")
            #expect(wrong.exitCode == 64, "\(wrong.errors)")
            try await shop.place(61...80)
        }
    }
}
