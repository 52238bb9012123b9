import FoundationEssentials
import Freshet
import FreshetTesting
import Glibc
import Hiredis
import Testing

@Suite struct ArchiveTests {
    private struct Row: Decodable {
        let topic: String
        let partition, archived, missing, total, segments: Int
        let first, last: String?
    }

    private struct Found: Decodable {
        let topic: String
        let segments, events, missing, compared: Int
        let problems: [String]
    }

    private func folder(_ rig: Rig) -> String { "\(rig.server.folder)/archive" }

    private func archive(_ rig: Rig, _ arguments: String...) async throws -> Outcome {
        try await rig.start(
            "replay", ["archive", "--topic", "orders", "--to", folder(rig), "--format", "json"] + arguments
        ).outcome()
    }

    private func verified(_ rig: Rig) async throws -> [Found] {
        let outcome = try await rig.run(
            "replay", "verify-archive", folder(rig), "--against-redis", "--format", "json")
        #expect(outcome.exitCode == 0, "\(outcome.errors)")
        return try outcome.json([Found].self)
    }

    @Test func `archive copies a topic and reports, verify-archive reads it, restore brings it back`()
        async throws
    {
        try await Rig.with { rig in
            try await rig.publish(1...25)
            try await rig.createGroup(after: "20-0")
            let rows = try await archive(rig, "--segment-events", "10").json([Row].self)
            #expect(rows.map(\.archived) == [25] && rows[0].segments == 3)
            #expect(rows[0].first == "1-0" && rows[0].last == "25-0" && rows[0].missing == 0)
            #expect(try await verified(rig).map(\.compared) == [25])
            let table = try await rig.run("replay", "archive", "--all", "--to", folder(rig))
            #expect(table.lines.first?.hasPrefix("TOPIC   PARTITION  ARCHIVED  MISSING  TOTAL") == true)
            let before = try await rig.client.send(.xrange("test:events:{orders:0}")).map(\.id)
            let refused = try await rig.run(
                "replay", "restore", "--from", folder(rig), "--topic", "orders", "--yes")
            #expect(refused.exitCode == 1 && refused.errors.contains("has 25 entries"), "\(refused.errors)")
            try await rig.redis("FLUSHALL")
            let dry = try await rig.run("replay", "restore", "--from", folder(rig), "--all", "--dry-run")
            #expect(
                dry.exitCode == 0 && dry.errors.contains("25 events")
                    && dry.errors.contains("payment after 20-0"))
            let asked = try await rig.run("replay", "restore", "--from", folder(rig), "--all")
            #expect(asked.exitCode == 64 && asked.errors.contains("--yes"))
            #expect(try await rig.redis("DBSIZE").integer == 0)
            let done = try await rig.run("replay", "restore", "--from", folder(rig), "--all", "--yes")
            #expect(done.exitCode == 0, "\(done.errors)")
            #expect(try await rig.client.send(.xrange("test:events:{orders:0}")).map(\.id) == before)
            let anew = try await rig.run(
                "replay", "restore", "--from", folder(rig), "--topic", "orders", "--anew", "--range-from",
                "3-0",
                "--range-to", "7-0", "--yes")
            #expect(anew.output == "published 5 events to 'orders'\n", "\(anew.errors)")
            #expect(try await rig.length("test:events:{orders:0}") == 30)
        }
    }

    @Test func `killed at any moment the archive is whole, and the next run goes on without gap or repeat`()
        async throws
    {
        try await Rig.with { rig in
            try await rig.fill(30_000)
            var random = SystemRandomNumberGenerator()
            for round in 0..<12 {
                let running = try rig.start(
                    "replay",
                    [
                        "archive", "--topic", "orders", "--to", folder(rig), "--segment-events", "700",
                        "--follow",
                    ]
                        + ["--every", "10ms", "--format", "ndjson"])
                let first = "\(folder(rig))/test/orders/0"
                try await eventually("it writes") {
                    (try? FileManager.default.contentsOfDirectory(atPath: first).isEmpty) == false
                }
                try await Task.sleep(for: .milliseconds(Int.random(in: 0...400, using: &random)))
                running.child.signal(SIGKILL)
                _ = await running.child.wait()
                let check = try await rig.run("replay", "verify-archive", folder(rig), "--format", "json")
                let text = check.errors
                // Before the first pass has ended there is no topic.json, and nothing else may be wrong.
                #expect(
                    check.exitCode == 0 || text.contains("no archived topic")
                        || text.contains("first pass did not end"),
                    "round \(round): \(text)")
                try await rig.redis("XADD", "test:events:{orders:0}", "*", "id", "r\(round)", "type", "t")
            }
            let rows = try await archive(rig, "--segment-events", "700").json([Row].self)
            #expect(rows.map(\.total) == [30_012] && rows.map(\.missing) == [0])
            let found = try await verified(rig)
            #expect(found.map(\.events) == [30_012] && found.map(\.compared) == [30_012])
        }
    }

    @Test func `a restore that is killed goes on when it is run again`() async throws {
        try await Rig.with { rig in
            try await rig.fill(30_000)
            try await rig.createGroup(after: "12345-0")
            _ = try await archive(rig, "--segment-events", "3000")
            try await rig.redis("FLUSHALL")
            let arguments = ["restore", "--from", folder(rig), "--all", "--yes"]
            for least in [1, 8000, 20_000] {
                let running = try rig.start("replay", arguments)
                try await eventually("it adds") {
                    let length = try await rig.length("test:events:{orders:0}")
                    return length >= least
                }
                running.child.signal(SIGKILL)
                _ = await running.child.wait()
            }
            let done = try await rig.start("replay", arguments).outcome()
            // The last one may have come to its end before it was killed.
            #expect(done.exitCode == 0 || done.errors.contains("has 30000 entries"), "\(done.errors)")
            #expect(try await verified(rig).map(\.compared) == [30_000])
            let group = try await rig.client.send(.xinfoGroups("test:events:{orders:0}"))[0]
            #expect(group.lastDeliveredID == StreamID("12345-0"))
            #expect(group.entriesRead == 12_345 && group.lag == 17_655)
        }
    }

    @Test func `as a service it archives what comes, and SIGTERM ends it when the segment is whole`()
        async throws
    {
        try await Rig.with { rig in
            try await rig.publish(1...10)
            let running = try rig.start(
                "replay",
                [
                    "archive", "--all", "--to", folder(rig), "--follow", "--every", "20ms", "--format",
                    "ndjson",
                ])
            try await eventually("it has begun") { running.output.contains("\"total\":10") }
            let second = try await archive(rig)
            #expect(
                second.exitCode == 75 && second.errors.contains("another process archives"),
                "\(second.errors)")
            let elsewhere = try await rig.run(
                "replay", "archive", "--all", "--to", folder(rig) + "2", "--format", "json")
            #expect(
                elsewhere.exitCode == 75 && elsewhere.errors.contains("is archived by"), "\(elsewhere.errors)"
            )
            for number in 11...15 {
                try await rig.publish([number])
                try await eventually("\(number) is archived") {
                    running.output.contains("\"total\":\(number)")
                }
            }
            running.child.signal(SIGTERM)
            let outcome = await running.outcome()
            #expect(outcome.exitCode == 0, "\(outcome.errors)")
            #expect(try await verified(rig).map(\.events) == [15])
            #expect(try await archive(rig).json([Row].self).map(\.total) == [15])
        }
    }

    @Test func `as a service it says how it is, and what it copied`() async throws {
        try await Rig.with { rig in
            try await rig.publish(1...10)
            let port = freePort()
            let arguments = ["archive", "--all", "--to", folder(rig), "--follow", "--every", "20ms"]
            let shown = try await rig.start(
                "replay", arguments + ["--http-port", "\(port)", "--print-config"]
            ).outcome()
            #expect(shown.exitCode == 0 && shown.output.contains("--http-port"), "\(shown)")
            let running = try rig.start("replay", arguments + ["--http-port", "\(port)"])
            func page() async throws -> String { try await Programs.answer(to: "/metrics", port: port) }
            try await eventually("all are archived") {
                try await page().contains("\nfreshet_archived_total{topic=\"orders\"} 10\n")
            }
            for question in ["live", "ready", "startup"] {
                let health = try await rig.run("replay", "health", question, "--http-port", "\(port)")
                #expect(health.exitCode == 0, "\(health)")
            }
            let whole = try await page()
            #expect(whole.contains("\nfreshet_archive_missing_total{topic=\"orders\"} 0\n"))
            #expect(whole.contains("\nfreshet_archive_failing{topic=\"orders\"} 0\n"))
            #expect(
                whole.contains("\nfreshet_archive_last_pass_seconds ")
                    && whole.contains("\nfreshet_ready 1\n"))
            // The log is gone: that topic fails, and the archiver lives.
            try await rig.redis("DEL", "test:events:{orders:0}")
            try await eventually("it says so") {
                try await page().contains("\nfreshet_archive_failing{topic=\"orders\"} 1\n")
            }
            let lives = try await rig.run("replay", "health", "live", "--http-port", "\(port)")
            #expect(lives.exitCode == 0)
            running.child.signal(SIGTERM)
            _ = await running.outcome()
        }
    }

    @Test(arguments: [true, false])
    func `a signal in the middle of a pass ends it with a whole segment`(follows: Bool) async throws {
        try await Rig.with { rig in
            try await rig.fill(100_000)
            let running = try rig.start(
                "replay",
                ["archive", "--topic", "orders", "--to", folder(rig)] + (follows ? ["--follow"] : []))
            let segment = "\(folder(rig))/test/orders/0/00000001.ndjson.zst"
            try await eventually("it writes") { FileManager.default.fileExists(atPath: segment) }
            running.child.signal(SIGTERM)
            let outcome = await running.outcome()
            #expect(outcome.exitCode == (follows ? 0 : 130), "\(outcome.errors)")
            let events = try await verified(rig).map(\.events)
            #expect(events[0] > 0 && events[0] <= 100_000, "\(events)")
            let rest = try await archive(rig).json([Row].self)
            #expect(rest[0].total == 100_000 && rest[0].archived == 100_000 - events[0])
            #expect(rest[0].missing == 0)
        }
    }

    private func alterManifest(_ rig: Rig, _ topic: String) throws {
        let path = "\(folder(rig))/test/\(topic)/0/manifest.json"
        try Data("{}".utf8).write(to: URL(filePath: path))
    }

    private func add(_ rig: Rig, _ topic: String, _ ids: ClosedRange<Int>) async throws {
        for number in ids {
            try await rig.redis(
                "XADD", "test:events:{\(topic):0}", "\(number)-0", "id", "e\(number)", "type", "t")
        }
    }

    @Test func `a topic that cannot be archived holds up no other`() async throws {
        try await Rig.with { rig in
            for topic in ["a", "b", "c"] { try await add(rig, topic, 1...3) }
            let all = ["archive", "--all", "--to", folder(rig), "--format", "json"]
            #expect(try await rig.start("replay", all).outcome().exitCode == 0)
            for topic in ["a", "b", "c"] { try await add(rig, topic, 4...5) }
            try alterManifest(rig, "a")
            try await rig.redis("DEL", "test:events:{b:0}")
            try await rig.redis("XGROUP", "CREATE", "test:events:{b:0}", "payment", 0, "MKSTREAM")
            let outcome = try await rig.start("replay", all).outcome()
            #expect(outcome.exitCode == 65, "\(outcome.errors)")
            #expect(outcome.errors.contains("a/0/manifest.json"), "\(outcome.errors)")
            #expect(outcome.errors.contains("the log of 'b' partition 0 is gone"), "\(outcome.errors)")
            #expect(try outcome.json([Row].self).map(\.topic) == ["c"])
            #expect(try outcome.json([Row].self).map(\.total) == [5])
        }
    }

    @Test func `as a service it survives that Redis is lost, and archives again once it is restored`()
        async throws
    {
        try await Rig.with { rig in
            func says(_ name: String, _ errors: String) -> Int {
                errors.split(separator: "\n").count { $0.contains(name) && $0.contains("is gone") }
            }
            for topic in ["a", "b"] { try await add(rig, topic, 1...3) }
            let arguments = ["archive", "--topic", "a", "--topic", "b", "--to", folder(rig), "--follow"]
            let running = try rig.start("replay", arguments + ["--every", "20ms", "--format", "ndjson"])
            try await eventually("both are archived") {
                running.output.split(separator: "\n").count == 2
            }
            try await rig.redis("FLUSHALL")
            try await eventually("it says so") {
                says("'a'", running.errors) > 0 && says("'b'", running.errors) > 0
            }
            let restore = try await rig.run(
                "replay", "restore", "--from", folder(rig), "--topic", "a", "--yes")
            #expect(restore.exitCode == 0, "\(restore.errors)")
            try await add(rig, "a", 4...6)
            try await eventually("a is archived again") { running.output.contains("\"total\":6") }
            running.child.signal(SIGTERM)
            let outcome = await running.outcome()
            #expect(outcome.exitCode == 1, "\(outcome.errors)")
            #expect(outcome.errors.contains("'a' is archived again"), "\(outcome.errors)")
            // When it happened, which may be seen from two sides, and once more at the end.
            #expect((2...3).contains(says("'b'", outcome.errors)), "\(outcome.errors)")
        }
    }

    @Test func `a gap is said loudly, and the exit code says so as well`() async throws {
        try await Rig.with { rig in
            try await rig.publish(1...5)
            _ = try await archive(rig)
            try await rig.publish(6...20)
            try await rig.redis("XTRIM", "test:events:{orders:0}", "MINID", "11-0")
            let outcome = try await archive(rig)
            #expect(outcome.exitCode == 2 && outcome.errors.contains("GAP: 5 events of 'orders' partition 0"))
            #expect(try outcome.json([Row].self).map(\.missing) == [5])
            #expect(try await archive(rig).exitCode == 0)
            try await rig.publish(21...23)
            try await rig.redis("XTRIM", "test:events:{orders:0}", "MAXLEN", 0)
            let whole = try await archive(rig)
            #expect(whole.exitCode == 2 && whole.errors.contains("GAP: 3 events"), "\(whole.errors)")
            #expect(try await verified(rig).map(\.missing) == [8])
        }
    }

    @Test func `an altered archive is 65 and named, by each command`() async throws {
        try await Rig.with { rig in
            try await rig.publish(1...20)
            _ = try await archive(rig, "--segment-events", "5")
            let path = "\(folder(rig))/test/orders/0/00000003.ndjson.zst"
            var bytes = Array(try Data(contentsOf: URL(filePath: path)))
            bytes[bytes.count / 2] ^= 4
            try Data(bytes).write(to: URL(filePath: path))
            try await rig.redis("DEL", "test:events:{orders:0}")
            let keys = try await rig.redis("DBSIZE").integer
            for arguments in [
                ["verify-archive", folder(rig)],
                ["restore", "--from", folder(rig), "--topic", "orders", "--yes"],
            ] {
                let outcome = try await rig.start("replay", arguments).outcome()
                #expect(outcome.exitCode == 65, "\(outcome.errors)")
                #expect(outcome.errors.contains("00000003.ndjson.zst: its SHA-256"), "\(outcome.errors)")
            }
            #expect(try await rig.redis("DBSIZE").integer == keys)
        }
    }

    @Test func `what is not there or makes no sense is said in one line`() async throws {
        try await Rig.with { rig in
            try await rig.publish(1...3)
            _ = try await archive(rig)
            let place = ["--topic", "orders"]
            let cases: [(arguments: [String], code: Int32, says: String)] = [
                (["archive", "--to", "x"], 64, "--all"), (["archive"] + place, 64, "--to"),
                (["archive", "--all", "--to", "x"] + place, 64, "--all"),
                (["archive", "--to", "x", "--every", "soon"] + place, 64, "soon"),
                (["archive", "--to", "x", "--segment-events", "0"] + place, 64, "--segment-events"),
                (["archive", "--to", "x", "--follow", "--format", "json"] + place, 64, "ndjson"),
                (["archive", "--to", "/proc/none"] + place, 1, "/proc/none"),
                (["archive", "--to", folder(rig), "--topic", "none"], 1, "orders"),
                (["verify-archive", folder(rig) + "none"], 1, "none"),
                (["verify-archive", rig.server.folder + "/archive/test/orders"], 1, "no archived topic"),
                (["verify-archive", folder(rig), "--topic", "none"], 1, "orders"),
                (["restore", "--from", folder(rig)], 64, "--all"),
                (["restore", "--from", folder(rig), "--topic", "none", "--yes"], 1, "orders"),
                (["restore", "--from", folder(rig), "--range-from", "2h"] + place, 64, "--anew"),
                (["restore", "--from", folder(rig), "--all", "--anew"], 64, "--topic"),
                (
                    ["restore", "--from", folder(rig), "--anew", "--publish-as", "none", "--yes"] + place, 1,
                    "none"
                ),
                (
                    ["restore", "--from", folder(rig), "--anew", "--range-from", "3-0", "--range-to", "2-0"]
                        + place, 64,
                    "behind"
                ),
                (
                    ["archive", "--all", "--to", "x", "--redis-url", "redis://127.0.0.1:\(freePort())"]
                        + ["--connect-timeout", "0.3"], 69, "cannot reach"
                ),
            ]
            for item in cases {
                let outcome = try await rig.start("replay", item.arguments).outcome()
                #expect(outcome.exitCode == item.code, "\(item): \(outcome.errors)")
                #expect(outcome.errors.contains(item.says), "\(item): \(outcome.errors)")
                #expect(outcome.errors.split(separator: "\n").count == 1 && outcome.output.isEmpty, "\(item)")
            }
            #expect(try await rig.length("test:events:{orders:0}") == 3)
        }
    }

    @Test func `retention that keeps what is not archived is declared in the file and listed`() async throws {
        try await Rig.with { rig in
            let file = #"[{"name": "orders", "retention": {"count": 5, "archived": true}}]"#
            let applied = try await rig.run("freshet", "topics", "apply", "-", input: file)
            #expect(
                applied.exitCode == 0 && applied.output.contains("retention.archived"), "\(applied.errors)")
            let listed = try await rig.run("freshet", "topics", "list", "--format", "json")
            #expect(
                try listed.json([TopicDeclaration].self)[0].retention
                    == Retention(count: 5, archivedOnly: true))
            let table = try await rig.run("freshet", "topics", "list")
            #expect(table.output.contains("5 entries, archived only"))
            try await rig.fill(1000)
            let held = try await rig.run("freshet", "topics", "trim", "orders")
            #expect(held.output == "cut off: 0\n" && held.errors.contains("(archive)"), "\(held.errors)")
            _ = try await archive(rig)
            let cut = try await rig.run("freshet", "topics", "trim", "orders")
            #expect(cut.output == "cut off: 900\n", "\(cut.output)")
        }
    }
}
