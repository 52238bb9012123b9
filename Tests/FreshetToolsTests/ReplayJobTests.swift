import FoundationEssentials
import Freshet
import FreshetTesting
import Glibc
import Hiredis
import Testing

@Suite struct ReplayJobTests {
    private struct Plan: Decodable {
        struct Selected: Decodable {
            let count: Int
            let types: [String: Int]
            let firstEvent: Sample?
        }
        struct Sample: Decodable { let eventID, type: String }
        let id: String
        let selected: Selected
    }
    private struct Job: Decodable {
        struct Planned: Decodable { let id: String }
        let plan: Planned
        let state, by, reason: String
        let done: Int
    }
    private let place = ["--topic", "orders", "--group", "payment"]

    private func run(_ rig: Rig, _ arguments: [String]) async throws -> Outcome {
        try await rig.start("replay", arguments).outcome()
    }

    @Test func `a plan is kept, started, listed and reported`() async throws {
        try await Rig.with { rig in
            try await rig.publish(1...20)
            try await rig.createGroup(after: "20-0")
            let planned = try await run(
                rig, ["plan", "--format", "json", "--last", "5", "--as", "ann", "--reason", "INC-1"] + place)
            let plan = try planned.json(Plan.self)
            #expect(planned.exitCode == 0 && plan.selected.count == 5)
            #expect(plan.selected.firstEvent?.eventID == "e16")
            #expect(planned.errors.contains("Will have 'payment' see 5 events of 'orders' again"))
            #expect(try await rig.length("test:redelivery:{orders:0}:payment") == 0)
            try await rig.publish(21...30)
            let started = try await run(rig, ["start", String(plan.id.prefix(20))])
            #expect(started.exitCode == 0 && started.output == "redelivered 5 events to 'payment'\n")
            #expect(try await rig.length("test:redelivery:{orders:0}:payment") == 5, "exactly the plan")
            let again = try await run(rig, ["start", plan.id])
            #expect(again.exitCode == 1 && again.errors.contains("done already"))
            let list = try await run(rig, ["list", "--format", "json"]).json([Job].self)
            #expect(list.count == 1 && list[0].plan.id == plan.id && list[0].state == "done")
            #expect(list[0].by == "ann" && list[0].reason == "INC-1" && list[0].done == 5)
            let report = try await run(rig, ["report", plan.id])
            #expect(
                report.output.contains("Planned by ann (INC-1)") && report.output.contains("replay.start"))
            #expect(report.output.contains("'payment' now: 15 waiting"), "\(report.output)")
            let open = try await run(rig, ["list", "--open", "--format", "json"])
            #expect(open.output == "[]\n" || open.output == "[\n\n]\n", "\(open.output)")
            let watch = try await run(rig, ["watch", plan.id])
            #expect(watch.exitCode == 0 && watch.output.hasPrefix("done: 5 of 5"))
        }
    }

    @Test func `a replay that another process runs is watched, paused, resumed and cancelled`() async throws {
        try await Rig.with { rig in
            try await rig.publish(1...4000)
            try await rig.createGroup(after: "4000-0")
            let running = try rig.start(
                "replay", ["run", "--yes", "--rate", "100/s", "--from", "start", "--format", "json"] + place)
            var id = ""
            try await eventually("it is listed") {
                let list = try await run(rig, ["list", "--format", "json"]).json([Job].self)
                id = list.first?.plan.id ?? ""
                return list.first?.state == "running" && (list.first?.done ?? 0) > 0
            }
            let second = try await run(rig, ["run", "--yes", "--from", "start"] + place)
            #expect(second.exitCode == 75 && second.errors.contains("under way"), "\(second.errors)")
            let rewind = try await run(rig, ["rewind", "--to", "start", "--yes"] + place)
            #expect(rewind.exitCode == 75, "\(rewind.errors)")
            #expect(try await run(rig, ["pause", id]).exitCode == 0)
            func state() async throws -> String {
                struct Status: Decodable { let state: String }
                return try await run(rig, ["status", id, "--format", "json"]).json(Status.self).state
            }
            try await eventually("it waits") { try await state() == "paused" }
            let resumed = try await run(rig, ["resume", id])
            #expect(resumed.exitCode == 0 && resumed.output == "its process goes on\n")
            try await eventually("it goes on") { try await state() == "running" }
            #expect(try await run(rig, ["cancel", id]).exitCode == 0)
            let outcome = await running.outcome()
            #expect(outcome.exitCode == 1 && outcome.errors.contains("cancelled after"), "\(outcome.errors)")
            let job = try await run(rig, ["status", id, "--format", "json"]).json(Job.self)
            #expect(try await rig.length("test:redelivery:{orders:0}:payment") == job.done)
            #expect(try await run(rig, ["resume", id]).exitCode == 1, "it has ended for good")
        }
    }

    @Test(
        arguments: [
            (["run", "--topic", "orders", "--from", "1h"], 64, "say where to"),
            (["run", "--topic", "orders", "--group", "payment"], 64, "say from where"),
            (
                ["run", "--topic", "orders", "--from", "1h", "--group", "payment", "--to-topic", "other"], 64,
                "say where to"
            ),
            (["run", "--topic", "orders", "--from", "1h", "--to-topic", "orders"], 64, "the topic itself"),
            (["run", "--topic", "orders", "--to-file", "x", "--dead"], 64, "--dead goes with --group"),
            (["plan", "--topic", "orders", "--group", "payment", "--where", "total"], 64, "--where 'total'"),
            (["plan", "--topic", "orders", "--group", "payment", "--first", "0"], 64, "begin with 1"),
            (["plan", "--topic", "orders", "--group", "payment", "--speed", "fast"], 64, "--speed 'fast'"),
            (
                ["plan", "--topic", "orders", "--group", "payment", "--max-gap", "5s"], 64,
                "goes with --speed"
            ),
            (
                ["plan", "--topic", "orders", "--group", "payment", "--from", "end-1"], 64,
                "'end-1' is not one of"
            ),
            (
                ["plan", "--topic", "orders", "--group", "payment", "--from", "5-0", "--to", "4-0"], 64,
                "behind its end"
            ),
            (
                ["plan", "--topic", "orders", "--group", "payment", "--from", "1-0", "--max-events", "3"], 64,
                "at most 3"
            ),
            (
                ["plan", "--topic", "orders", "--group", "payment", "--ids", "/nowhere/ids"], 64,
                "/nowhere/ids"
            ),
            (
                ["plan", "--topic", "orders", "--group", "payment", "--from", "1h", "--archive", "/nowhere"],
                1,
                "no folder '/nowhere'"
            ),
            (["plan", "--topic", "order", "--group", "payment", "--from", "1h"], 1, "no topic 'order'"),
            (["plan", "--topic", "orders", "--group", "pay", "--from", "1h"], 1, "no group 'pay'"),
            (
                ["plan", "--topic", "orders", "--group", "payment", "--from", "1h", "--partition", "7"], 1,
                "no partition 7"
            ),
            (
                ["plan", "--topic", "orders", "--to-topic", "nowhere", "--from", "1h"], 1,
                "no topic 'nowhere'"
            ),
            (["start", "nothing"], 1, "no replay 'nothing'"),
            (["rewind", "--topic", "orders"], 64, "only --undo"),
        ] as [([String], Int32, String)])
    func `what cannot be is said, with the right exit code, and changes nothing`(
        _ arguments: [String], _ code: Int32, _ message: String
    ) async throws {
        try await Rig.with { rig in
            try await rig.publish(1...5)
            try await rig.createGroup(after: "5-0")
            let before = try await rig.redis("DBSIZE").integer
            let outcome = try await run(rig, arguments)
            #expect(outcome.exitCode == code && outcome.errors.contains(message), "\(outcome.errors)")
            #expect(outcome.output.isEmpty)
            #expect(try await rig.redis("DBSIZE").integer == before)
        }
    }

    @Test func `a range without events is said, and no plan is kept`() async throws {
        try await Rig.with { rig in
            try await rig.publish(1...5)
            try await rig.createGroup(after: "5-0")
            let outcome = try await run(rig, ["plan", "--from", "6-0"] + place)
            #expect(outcome.exitCode == 0 && outcome.errors == "Nothing of 'orders' lies in this range.\n")
            #expect(try await rig.redis("EXISTS", "test:replays").integer == 0)
        }
    }
}
