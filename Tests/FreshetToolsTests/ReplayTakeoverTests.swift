import FoundationEssentials
import Freshet
import FreshetTesting
import Glibc
import Hiredis
import Testing

/// What happens when a replay's process is not alone, or comes back late.
@Suite struct ReplayTakeoverTests {
    private struct Status: Decodable {
        let state, note: String
        let done: Int
    }
    private let redelivery = "test:redelivery:{orders:0}:payment"

    private func plan(_ rig: Rig, _ more: String...) async throws -> String {
        struct Planned: Decodable { let id: String }
        let arguments = [
            "plan", "--topic", "orders", "--group", "payment", "--from", "start", "--format", "json",
        ]
        let outcome = try await rig.start("replay", arguments + more).outcome()
        return try outcome.json(Planned.self).id
    }

    private func status(_ rig: Rig, _ id: String) async throws -> Status {
        try await rig.run("replay", "status", id, "--format", "json").json(Status.self)
    }

    @Test func `a process that was frozen while another finished its replay changes nothing any more`()
        async throws
    {
        try await Rig.with { rig in
            try await rig.publish(1...300)
            try await rig.createGroup(after: "300-0")
            let id = try await plan(rig, "--rate", "40")
            let frozen = try rig.start("replay", ["start", id])
            try await eventually("it runs") { try await rig.length(redelivery) > 0 }
            frozen.child.signal(SIGSTOP)
            try await eventually("its lock has lapsed") {
                try await rig.redis("GET", "test:replaying:{orders}:payment").isNull
            }
            let other = try rig.start("replay", ["resume", id])
            try await eventually("the other has begun") {
                try await rig.length(redelivery) > 60 || other.child.ending != nil
            }
            frozen.child.signal(SIGCONT)
            let late = await frozen.outcome()
            #expect(late.exitCode == 75 && late.errors.contains("taken this replay over"), "\(late.errors)")
            let done = await other.outcome()
            #expect(done.exitCode == 0, "\(done.errors)")
            // The one batch that was under way may be there twice; at this rate that is two events.
            #expect((300...302).contains(try await rig.length(redelivery)))
            let status = try await status(rig, id)
            #expect(status.state == "done" && status.done >= 300, "\(status)")
        }
    }

    @Test func `the other replay of a group is not taken for one's own`() async throws {
        try await Rig.with { rig in
            try await rig.publish(1...2000)
            try await rig.createGroup(after: "2000-0")
            let (first, second) = (try await plan(rig, "--rate", "50"), try await plan(rig, "--rate", "50"))
            let killed = try rig.start("replay", ["start", first])
            try await eventually("it runs") { try await status(rig, first).done > 0 }
            killed.child.signal(SIGKILL)
            _ = await killed.outcome()
            let running = try rig.start("replay", ["start", second])
            try await eventually("the second runs") { try await status(rig, second).state == "running" }
            #expect(try await status(rig, first).state == "stopped")
            let resumed = try await rig.run("replay", "resume", first)
            #expect(resumed.exitCode == 75, "\(resumed.errors)")
            #expect(try await rig.run("replay", "cancel", first).exitCode == 0)
            #expect(try await status(rig, first).state == "cancelled")
            #expect(try await rig.run("replay", "cancel", second).exitCode == 0)
            #expect(await running.outcome().exitCode == 1)
        }
    }

    @Test func `events that are gone since the plan are said, and so is where a cut log begins`() async throws
    {
        try await Rig.with { rig in
            try await rig.publish(1...100)
            try await rig.createGroup(after: "100-0")
            let id = try await plan(rig)
            try await rig.redis("XTRIM", "test:events:{orders:0}", "MAXLEN", 30)
            let started = try await rig.run("replay", "start", id)
            #expect(started.exitCode == 2 && started.errors.contains("70 of the planned events were gone"))
            #expect(started.output == "redelivered 30 events to 'payment'\n")
            let cut = try await rig.run(
                "replay", "redeliver", "--topic", "orders", "--group", "payment", "--from", "start",
                "--dry-run")
            #expect(cut.errors.contains("The log begins with 71-0"), "\(cut.errors)")
        }
    }

    @Test func `a file whose lines are out of order, or that has become shorter, is refused`() async throws {
        try await Rig.with { rig in
            try await rig.publish(1...400)
            try await rig.createGroup(after: "400-0")
            let path = "\(rig.server.folder)/events.ndjson"
            struct Planned: Decodable { let id: String }
            let export = ["--topic", "orders", "--to-file", path, "--from", "start"]
            let planned = try await rig.start(
                "replay", ["plan", "--rate", "100", "--format", "json"] + export
            ).outcome().json(Planned.self)
            let killed = try rig.start("replay", ["start", planned.id])
            // Told of at each look, and on record behind it: only then is the file missed.
            let record = rig.broker.namespace.replayKey(planned.id)
            try await eventually("some are written, and on record") {
                try await rig.client.send(RedisCommand("HGET", record, "at:0")).string != nil
            }
            killed.child.signal(SIGKILL)
            _ = await killed.outcome()
            try FileManager.default.moveItem(atPath: path, toPath: path + ".away")
            let gone = try await rig.run("replay", "resume", planned.id)
            #expect(gone.exitCode == 1 && gone.errors.contains("events.ndjson"), "\(gone.errors)")
            #expect(!FileManager.default.fileExists(atPath: path))
            try FileManager.default.moveItem(atPath: path + ".away", toPath: path)
            #expect(try await rig.run("replay", "resume", planned.id).exitCode == 0)
            let text = try String(contentsOfFile: path, encoding: .utf8)
            let lines = text.split(separator: "\n")
            #expect(lines.count == 400 && !text.contains("\0"))
            try Data((lines.reversed().joined(separator: "\n") + "\n").utf8).write(to: URL(filePath: path))
            let unsorted = try await rig.run(
                "replay", "plan", "--topic", "orders", "--group", "payment", "--from-file", path, "--from",
                "start")
            #expect(
                unsorted.exitCode == 65 && unsorted.errors.contains("events.ndjson:2:"), "\(unsorted.errors)")
        }
    }
}
