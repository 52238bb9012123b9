import FreshetTesting
import Glibc
import Hiredis
import Testing

@Suite struct ReplayTests {
    private static let place = ["--topic", "orders", "--group", "payment"]

    private struct Redelivered: Decodable {
        struct Selected: Decodable {
            let count, ahead: Int
            let types: [String: Int]
            let first, last: String?
        }
        let replay, topic, group, from, to: String
        let selected: Selected
        let done: Int
        let state: String
    }

    private struct Rewound: Decodable {
        struct Move: Decodable {
            let partition, readAgain, passedOver, entriesRead: Int
            let from, to: String
        }
        let topic, group: String
        let moved: Bool
        let readersWoken: Int
        let moves: [Move]
    }

    private func run(_ rig: Rig, _ command: String, _ arguments: String...) async throws -> Outcome {
        try await rig.start("replay", [command] + Self.place + ["--format", "json"] + arguments).outcome()
    }

    private let redelivery = "test:redelivery:{orders:0}:payment"

    @Test func `redeliver says what it will do, does it and reports`() async throws {
        try await Rig.with { rig in
            try await rig.publish(1...20)
            try await rig.publish(21...25, type: "order.cancelled")
            try await rig.createGroup(after: "25-0")
            let range = ["--from", "3-0", "--to", "22-0"]
            let dry = try await rig.start("replay", ["redeliver"] + Self.place + range + ["--dry-run"])
                .outcome()
            #expect(dry.exitCode == 0 && dry.output == "redelivered 0 events to 'payment'\n")
            #expect(
                dry.errors == "Will have 'payment' see 20 events of 'orders' again "
                    + "(2 order.cancelled, 18 order.placed), from 3-0 to 22-0.\n"
                    + "First order.placed e3, last order.cancelled e22.\n")
            let asked = try await rig.start("replay", ["redeliver"] + Self.place + range).outcome()
            #expect(asked.exitCode == 64 && asked.output.isEmpty && asked.errors.contains("--yes"))
            #expect(try await rig.length(redelivery) == 0)
            let done = try await run(
                rig, "redeliver", "--from", "3-0", "--to", "22-0", "--type", "order.placed", "--key", "k1",
                "--key", "k2", "--yes")
            #expect(done.exitCode == 0, "\(done.errors)")
            let report = try done.json(Redelivered.self)
            #expect(report.topic == "orders" && report.group == "payment" && !report.replay.isEmpty)
            #expect(report.from == "3-0" && report.to == "22-0" && report.done == 12)
            #expect(report.selected.count == 12 && report.selected.types == ["order.placed": 12])
            #expect(report.selected.first == "4-0" && report.selected.last == "20-0")
            #expect(report.selected.ahead == 0)
            #expect(try await rig.length(redelivery) == 12)
            let table = try await rig.start(
                "replay", ["redeliver"] + Self.place + ["--from", "start", "--to", "end", "--yes"]
            ).outcome()
            #expect(table.output == "redelivered 25 events to 'payment'\n")
        }
    }

    @Test func `nothing in the range is done, with a sentence`() async throws {
        try await Rig.with { rig in
            try await rig.publish(1...5)
            try await rig.createGroup()
            for range in [["--from", "6-0", "--to", "end"], ["--from", "1h", "--to", "end"]] {
                let outcome = try await rig.start(
                    "replay", ["redeliver", "--format", "json"] + Self.place + range
                ).outcome()
                #expect(outcome.exitCode == 0)
                #expect(outcome.errors == "Nothing of 'orders' lies in this range.\n")
                #expect(try outcome.json(Redelivered.self).done == 0)
                #expect(try outcome.json(Redelivered.self).selected.first == nil)
            }
        }
    }

    @Test func `events that the group has not read yet are pointed out`() async throws {
        try await Rig.with { rig in
            try await rig.publish(1...5)
            try await rig.createGroup(after: "2-0")
            let dry = try await run(rig, "redeliver", "--from", "start", "--to", "end", "--dry-run")
            #expect(dry.errors.contains("3 of them it has not read yet"))
            #expect(try dry.json(Redelivered.self).selected.ahead == 3)
        }
    }

    @Test func `Ctrl-C stops a redelivery between two pages, and it says how far it came`() async throws {
        try await Rig.with { rig in
            try await rig.fill(200_000)
            try await rig.createGroup(after: "200000-0")
            let running = try rig.start(
                "replay",
                [
                    "redeliver", "--from", "start", "--to", "end", "--yes", "--format", "json",
                    "--max-waiting",
                    "none",
                ] + Self.place)
            try await eventually("it has begun") { try await rig.length(redelivery) > 0 }
            running.child.signal(SIGINT)
            let outcome = await running.outcome()
            #expect(outcome.exitCode == 130, "\(outcome.errors)")
            let report = try outcome.json(Redelivered.self)
            #expect(report.selected.count == 200_000)
            #expect((1..<200_000).contains(report.done))
            #expect(try await rig.length(redelivery) == report.done)
            #expect(outcome.errors.contains("interrupted after \(report.done) of 200000"))
        }
    }

    @Test func `a redelivery that fails on its way is partly done, and says how far it came`() async throws {
        try await Rig.with { rig in
            try await rig.fill(100_000)
            try await rig.createGroup(after: "100000-0")
            let running = try rig.start(
                "replay",
                [
                    "redeliver", "--from", "start", "--to", "end", "--yes", "--format", "json",
                    "--max-waiting",
                    "none",
                ] + Self.place)
            try await eventually("it has begun") { try await rig.length(redelivery) > 0 }
            try await rig.redis("CONFIG", "SET", "maxmemory", 1)
            let outcome = await running.outcome()
            #expect(outcome.exitCode == 2, "\(outcome.errors)")
            let report = try outcome.json(Redelivered.self)
            #expect((1..<100_000).contains(report.done))
            #expect(outcome.errors.contains("\(report.done) of 100000 were redelivered, then: "))
        }
    }

    @Test func `rewind says what it will do, does it and reports`() async throws {
        try await Rig.with { rig in
            try await rig.publish(1...10)
            try await rig.createGroup(after: "8-0")
            let dry = try await run(rig, "rewind", "--to", "4-0", "--dry-run")
            #expect(dry.exitCode == 0)
            #expect(
                dry.errors == "Will move 'payment' on 'orders':\n"
                    + "  partition 0: from 8-0 to 3-18446744073709551615, 5 read again, 0 passed over\n")
            #expect(try dry.json(Rewound.self).moved == false)
            let asked = try await run(rig, "rewind", "--to", "4-0")
            #expect(asked.exitCode == 64 && asked.output.isEmpty)
            let back = try await run(rig, "rewind", "--to", "4-0", "--yes")
            let report = try back.json(Rewound.self)
            #expect(back.exitCode == 0 && report.moved && report.moves.count == 1)
            #expect(report.moves[0].from == "8-0" && report.moves[0].to == "3-18446744073709551615")
            #expect(report.moves[0].readAgain == 5 && report.moves[0].passedOver == 0)
            #expect(report.moves[0].entriesRead == 3 && report.readersWoken == 0)
            let forth = try await rig.start(
                "replay", ["rewind", "--to", "end", "--yes"] + Self.place
            ).outcome()
            #expect(
                forth.output.hasPrefix(
                    "moved: 0 events come again, 7 are passed over; undo it with: replay rewind"))
            let id = try #require(forth.output.split(separator: " ").last?.dropLast())
            let undone = try await rig.run(
                "replay", "rewind", "--undo", String(id), "--yes", "--format", "json", "--as", "ann",
                "--reason",
                "too far")
            let undo = try undone.json(Rewound.self)
            #expect(undo.moves[0].from == "10-0" && undo.moves[0].to == "3-18446744073709551615")
            #expect(undo.moves[0].readAgain == 7 && undo.moves[0].entriesRead == 3)
            struct Record: Decodable { let action, by, reason, replay: String }
            let audit = try await rig.run("replay", "audit", "--last", "1", "--format", "json").json(
                [Record].self)
            #expect(
                audit[0].action == "replay.rewind.undo" && audit[0].by == "ann"
                    && audit[0].reason == "too far")
            #expect(audit[0].replay == id)
            let unknown = try await rig.run("replay", "rewind", "--undo", "nothing", "--yes")
            #expect(unknown.exitCode == 1 && unknown.errors.contains("no rewind 'nothing'"))
            let over = try await run(rig, "rewind", "--to", "2100-01-01T00:00:00Z", "--yes")
            #expect(try over.json(Rewound.self).moves[0].to == "10-0")
        }
    }

    @Test func `a group that holds events is not moved`() async throws {
        try await Rig.with { rig in
            try await rig.publish(1...10)
            try await rig.createGroup()
            try await rig.redis(
                "XREADGROUP", "GROUP", "payment", "c", "COUNT", 3, "STREAMS", "test:events:{orders:0}", ">")
            let outcome = try await run(rig, "rewind", "--to", "start", "--yes")
            #expect(outcome.exitCode == 1 && outcome.output.isEmpty)
            #expect(
                outcome.errors
                    == "replay: 'payment' holds 3 events of 'orders': stop its workers, or let them finish, first\n"
            )
        }
    }
}
