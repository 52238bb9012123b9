import FoundationEssentials
import Freshet
import FreshetRecords
import FreshetTesting
import Testing

@Suite struct CheckTests {
    private struct Document: Decodable {
        struct Row: Decodable {
            let subject, check, status, sentence: String
            let value: Double
        }
        let status, message: String
        let exitCode: Int
        let checks: [Row]
    }

    /// A group that has read all, an old event that another one has not, and three dead letters.
    private func withGroups(_ body: (Rig) async throws -> Void) async throws {
        try await Rig.with { rig in
            let now = Int(try await rig.broker.serverTime().milliseconds)
            try await rig.publish([now - 100_000, now])
            try await rig.createGroup("order", after: "\(now)-0")
            try await rig.createGroup("payment")
            for number in 1...3 {
                try await rig.redis("XADD", "test:dead:{orders:0}:order", "\(number)-0", "id", "e")
            }
            for group in ["order", "payment"] {
                try await rig.redis("XGROUP", "CREATECONSUMER", "test:events:{orders:0}", group, "c")
            }
            try await body(rig)
        }
    }

    private func run(_ rig: Rig, _ arguments: String...) async throws -> Outcome {
        try await rig.start("freshet", ["check"] + arguments, environment: ["FRESHET_LEASE": "3600"])
            .outcome()
    }

    @Test func `one line with the worst first, figures behind the bar, and the exit code of the worst`()
        async throws
    {
        try await withGroups { rig in
            let fine = try await run(rig, "--group", "order", "age", "lag", "consumers")
            #expect(fine.exitCode == 0 && fine.errors.isEmpty && fine.lines.count == 1)
            #expect(
                fine.output
                    == "FRESHET OK - orders/order, at most 0 waiting, the oldest for 0s | 'orders/order lag'=0;;;0 "
                    + "'orders/order age'=0s;60;300;0 'orders/order consumers'=1;;;0\n")
            let warned = try await run(rig)
            #expect(warned.exitCode == 1, "\(warned.output)")
            #expect(
                warned.output.hasPrefix("FRESHET WARNING - orders/order: 3 dead letters (warning from 1); "))
            #expect(
                warned.output.contains("orders/payment: the oldest event waits for "))
            let critical = try await run(rig, "--crit-age", "90s", "--warn-dead", "9")
            #expect(critical.exitCode == 2)
            #expect(
                critical.output.hasPrefix(
                    "FRESHET CRITICAL - orders/payment: the oldest event waits for "
                ))
            let few = try await run(rig, "consumers", "--warn-consumers", "2")
            #expect(few.exitCode == 1 && few.output.contains("one consumer is there (warning below 2)"))
            #expect(few.output.contains("'orders/order consumers'=1;2:;;0"))
            let lag = try await run(rig, "lag", "--topic", "orders", "--warn-lag", "2", "--crit-lag", "3")
            #expect(lag.exitCode == 1 && lag.output.contains("2 wait (warning from 2)"))
        }
    }

    @Test func `events that wait where no consumer lives are critical`() async throws {
        try await withGroups { rig in
            try await eventually("the lease is over") {
                try await run(rig, "consumers", "--group", "payment", "--lease", "10ms").exitCode == 2
            }
            let outcome = try await run(rig, "consumers", "--lease", "10ms")
            #expect(
                outcome.output.hasPrefix(
                    "FRESHET CRITICAL - orders/payment: events wait and no consumer is there | "))
        }
    }

    @Test func `as JSON and for Prometheus it says the same`() async throws {
        try await withGroups { rig in
            let json = try await run(rig, "dead", "--format", "json")
            let document = try json.json(Document.self)
            #expect(json.exitCode == 1 && document.exitCode == 1 && document.status == "WARNING")
            #expect(document.checks.map(\.subject) == ["orders/order", "orders/payment"])
            #expect(
                document.checks.map(\.value) == [3, 0] && document.checks.map(\.status) == ["WARNING", "OK"])
            let text = try await run(rig, "dead", "--format", "prometheus")
            #expect(
                text.lines == [
                    "# TYPE freshet_check_status gauge",
                    "freshet_check_status{subject=\"orders/order\",check=\"dead\"} 1",
                    "freshet_check_status{subject=\"orders/payment\",check=\"dead\"} 0",
                    "# TYPE freshet_check_value gauge",
                    "freshet_check_value{subject=\"orders/order\",check=\"dead\"} 3",
                    "freshet_check_value{subject=\"orders/payment\",check=\"dead\"} 0",
                ])
        }
    }

    @Test func `whatever goes wrong is UNKNOWN, a line on standard output, and 3`() async throws {
        try await withGroups { rig in
            let gone = "redis://:hush@127.0.0.1:\(freePort())"
            let cases: [(arguments: [String], says: String)] = [
                (["--redis-url", gone, "--connect-timeout", "0.2"], "cannot reach Redis"),
                (["--group", "none"], "'none'"), (["--topic", "none"], "orders"),
                (["--namespace", "empty"], "no groups"), (["bogus"], "lag"), (["--bogus"], "--bogus"),
                (["--warn-lag", "9", "--crit-lag", "3"], "--warn-lag"), (["--warn-age", "soon"], "soon"),
                (["--warn-lag", "-1"], "lag"), (["dead", "--warn-age", "1s"], "age"),
                (["outbox"], "DATABASE_URL"),
                (["outbox", "--database-url", "sqlite:\(rig.server.folder)/none.db"], "none.db"),
                (["outbox", "--topic", "orders", "--database-url", "sqlite:x"], "--topic"),
            ]
            for item in cases {
                let outcome = try await rig.start("freshet", ["check"] + item.arguments).outcome()
                #expect(outcome.exitCode == 3, "\(item): \(outcome.output) \(outcome.errors)")
                #expect(
                    outcome.lines.count == 1 && outcome.output.hasPrefix("FRESHET UNKNOWN - "),
                    "\(item): \(outcome.output)")
                #expect(outcome.output.contains(item.says), "\(item): \(outcome.output)")
                #expect(!outcome.output.contains("hush") && !outcome.errors.contains("hush"))
            }
            let json = try await run(rig, "--group", "none", "--format", "json")
            #expect(try json.exitCode == 3 && json.json(Document.self).status == "UNKNOWN")
            let help = try await run(rig, "--help")
            #expect(help.exitCode == 0 && help.output.contains("Examples:"))
        }
    }

    @Test func `an outbox whose oldest event waits is critical`() async throws {
        try await Rig.with { rig in
            let url = "sqlite:\(rig.server.folder)/payment.db"
            try await ServiceRecords.migrate(
                try RecordsDatabase.open(url: url), source: "payment", migrations: [])
            let fine = try await run(rig, "outbox", "--database-url", url)
            #expect(fine.exitCode == 0, "\(fine.output)")
            try await stuckOutbox(url, since: -400)
            let stuck = try await rig.run("freshet", "check", "outbox", environment: ["DATABASE_URL": url])
            #expect(stuck.exitCode == 2)
            #expect(
                stuck.output.contains("1 of the outbox are not published, the oldest for 6m"),
                "\(stuck.output)")
        }
    }
}

/// Puts an event into the outbox of a service's database, so many seconds from now.
func stuckOutbox(_ url: String, since seconds: Int64) async throws {
    let time = Timestamp(milliseconds: Timestamp.now().milliseconds + seconds * 1000).description
    try await RecordsDatabase.open(url: url).transaction { transaction in
        _ = try transaction.execute(
            """
            INSERT INTO outbox (topic, partitions, event_id, source, type, schema_version, time, data)
            VALUES ('orders', 1, 'e1', 's', 't', 1, $1, $2)
            """, .text(time), .bytes([123, 125]))
    }
}
