import Freshet
import Testing

@Suite struct DeadTests {
    private static let place = ["--topic", "orders", "--group", "payment"]

    private struct Report: Decodable, Equatable {
        let topic, group: String
        let selected, changed: Int

        init(_ selected: Int, _ changed: Int) {
            (topic, group, self.selected, self.changed) = ("orders", "payment", selected, changed)
        }
    }

    private struct Letter: Decodable {
        let id, eventID, source, type, reason, failedAt, position: String
        let attempts, partition, retries: Int
    }

    private static func withLetters(
        _ numbers: ClosedRange<Int>, partitions: Int = 1, _ body: (Rig) async throws -> Void
    ) async throws {
        try await Rig.with { rig in
            for partition in 0..<partitions {
                try await rig.publish(1...2, partition: partition)
                try await rig.createGroup(partition: partition)
                for number in numbers {
                    try await rig.redis(
                        "XADD", "test:dead:{orders:\(partition)}:payment", "\(number)-0", "id", "e\(number)",
                        "source", "till", "type", "order.placed", "freshetoriginalid", "1-0",
                        "freshetattempt", "5", "freshetreason", "no answer\nin time", "freshetfailedat",
                        "2026-01-02T03:04:05.000Z")
                }
            }
            try await body(rig)
        }
    }

    private func run(_ rig: Rig, _ verb: String, _ arguments: String...) async throws -> Outcome {
        try await rig.start("freshet", ["dead", verb] + Self.place + ["--format", "json"] + arguments)
            .outcome()
    }

    private let dead = "test:dead:{orders:0}:payment"
    private let redelivery = "test:redelivery:{orders:0}:payment"

    @Test func `they are listed with what is known of them`() async throws {
        try await Self.withLetters(1...3) { rig in
            let letters = try await run(rig, "list").json([Letter].self)
            #expect(
                letters.map(\.id) == ["1-0", "2-0", "3-0"] && letters.map(\.eventID) == ["e1", "e2", "e3"])
            let letter = letters[0]
            #expect(letter.source == "till" && letter.type == "order.placed" && letter.position == "1-0")
            #expect(letter.attempts == 5 && letter.retries == 0 && letter.partition == 0)
            #expect(letter.reason == "no answer\nin time" && letter.failedAt == "2026-01-02T03:04:05.000Z")
            let table = try await rig.start("freshet", ["dead", "list"] + Self.place).outcome()
            #expect(table.lines.count == 4 && table.lines[1].contains(#"no answer\nin time"#))
        }
    }

    @Test func `a group that is gone has left its dead letters`() async throws {
        try await Self.withLetters(1...3) { rig in
            try await rig.redis("XGROUP", "DESTROY", "test:events:{orders:0}", "payment")
            #expect(try await run(rig, "list").json([Letter].self).count == 3)
            _ = try await run(rig, "discard", "--all", "--yes")
            let none = try await run(rig, "list")
            #expect(none.exitCode == 1 && none.errors.contains("no group 'payment'"))
        }
    }

    @Test func `some or all are retried`() async throws {
        try await Self.withLetters(1...250) { rig in
            let some = try await run(rig, "retry", "--yes", "--id", "2-0", "4-0", "--id", "2-0")
            #expect(try some.json(Report.self) == Report(2, 2))
            #expect(some.exitCode == 0 && some.errors.contains("Will retry 2 dead letters"))
            #expect(try await rig.length(redelivery) == 2)
            let all = try await run(rig, "retry", "--all", "--yes")
            #expect(try all.json(Report.self) == Report(248, 248))
            #expect(try await rig.length(redelivery) == 250)
            #expect(try await rig.length(dead) == 0)
            let none = try await run(rig, "retry", "--all")
            #expect(none.exitCode == 0, "nothing to do asks nobody")
            #expect(try none.json(Report.self) == Report(0, 0))
            #expect(none.errors.contains("There are no dead letters"))
        }
    }

    @Test func `a dry run, and no --yes off a terminal, change nothing`() async throws {
        try await Self.withLetters(1...3) { rig in
            for verb in ["retry", "discard"] {
                let dry = try await run(rig, verb, "--all", "--dry-run")
                #expect(
                    dry.exitCode == 0
                        && dry.errors == "Will \(verb) 3 dead letters of 'payment' on 'orders'.\n")
                #expect(try dry.json(Report.self) == Report(3, 0))
                let asked = try await run(rig, verb, "--all")
                #expect(asked.exitCode == 64 && asked.errors.contains("--yes") && asked.output.isEmpty)
            }
            #expect(try await rig.length(dead) == 3)
            #expect(try await rig.length(redelivery) == 0)
        }
    }

    @Test func `discarded ones are gone, and nobody sees them again`() async throws {
        try await Self.withLetters(1...3) { rig in
            do {
                let outcome = try await run(rig, "discard", "--id", "1-0", "--yes")
                #expect(try outcome.json(Report.self) == Report(1, 1))
            }
            do {
                let outcome = try await run(rig, "discard", "--all", "--yes")
                #expect(try outcome.json(Report.self) == Report(2, 2))
            }
            #expect(try await rig.length(dead) == 0)
            #expect(try await rig.length(redelivery) == 0)
        }
    }

    @Test func `who changes dead letters, why, and what came of it is on record`() async throws {
        try await Self.withLetters(1...3) { rig in
            _ = try await run(rig, "retry", "--all", "--dry-run")
            #expect(try await rig.broker.auditRecords(last: 10).isEmpty, "nothing was done")
            let person = ["--as", "ann", "--reason", "INC-7", "--yes"]
            _ = try await rig.start("freshet", ["dead", "retry", "--id", "1-0"] + person + Self.place)
                .outcome()
            _ = try await rig.start("freshet", ["dead", "discard", "--all"] + person + Self.place).outcome()
            let records = try await rig.broker.auditRecords(last: 10)
            #expect(
                records.map { "\($0.action): \($0.details)" } == [
                    "dead.retry: 1 dead letter of 'payment' on 'orders'", "dead.retry.done: 1 of 1",
                    "dead.discard: 2 dead letters of 'payment' on 'orders'", "dead.discard.done: 2 of 2",
                ])
            #expect(
                records.allSatisfy {
                    $0.by == "ann" && $0.reason == "INC-7" && $0.topic == "orders" && $0.target == "payment"
                })
        }
    }

    @Test func `an id that stands in two partitions needs to be told apart`() async throws {
        try await Self.withLetters(1...2, partitions: 2) { rig in
            let which = try await run(rig, "retry", "--id", "1-0", "--yes")
            #expect(which.exitCode == 64 && which.errors.contains("--partition"))
            let one = try await run(rig, "retry", "--id", "1-0", "--partition", "1", "--yes")
            #expect(try one.json(Report.self) == Report(1, 1))
            #expect(try await rig.length(redelivery) == 0)
            #expect(try await rig.length("test:redelivery:{orders:1}:payment") == 1)
        }
    }

    /// Three letters of two kinds of failure.
    private func withErrors(_ body: (Rig) async throws -> Void) async throws {
        try await Self.withLetters(1...1) { rig in
            for (number, reason) in [(2, "order 17 of o-4 is gone"), (3, "order 18 of o-99 is gone")] {
                try await rig.redis(
                    "XADD", dead, "\(number)-0", "id", "e\(number)", "source", "till", "type",
                    "order.changed", "data",
                    "{\"n\":1}", "bytes", [0xff] as [UInt8], "freshetreason", reason, "freshetfailedat",
                    "2026-01-02T03:04:0\(number).000Z")
            }
            try await body(rig)
        }
    }

    @Test func `errors of one kind are counted together, and can be listed, retried and discarded`()
        async throws
    {
        struct Kind: Decodable {
            let error, first, last: String
            let count: Int
            let types: [String]
        }
        try await withErrors { rig in
            let kinds = try await run(rig, "errors").json([Kind].self)
            #expect(
                kinds.map(\.error) == ["order # of # is gone", "no answer"] && kinds.map(\.count) == [2, 1])
            #expect(kinds[0].types == ["order.changed"] && kinds[0].first < kinds[0].last)
            let listed = try await run(rig, "list", "--error", "order # of # is gone").json([Letter2].self)
            #expect(listed.map(\.id) == ["2-0", "3-0"])
            let dry = try await run(rig, "discard", "--error", "order # of # is gone", "--dry-run")
            #expect(try dry.json(Report.self) == Report(2, 0))
            let discarded = try await run(rig, "discard", "--error", "order # of # is gone", "--yes")
            #expect(try discarded.json(Report.self) == Report(2, 2))
            #expect(try await rig.length(dead) == 1)
            let retried = try await run(rig, "retry", "--type", "order.placed", "--yes")
            #expect(try retried.json(Report.self) == Report(1, 1))
            #expect(try await rig.length(dead) == 0)
            #expect(try await rig.length(redelivery) == 1)
            #expect(try await run(rig, "retry", "--all", "--type", "order.placed").exitCode == 64)
        }
    }

    private struct Letter2: Decodable { let id: String }

    @Test func `one is shown whole`() async throws {
        struct Shown: Decodable {
            let id: String
            let fields: [String: String]
        }
        try await withErrors { rig in
            let shown = try await run(rig, "show", "--id", "2-0").json([Shown].self)
            #expect(shown.count == 1 && shown[0].fields["data"] == "{\"n\":1}")
            #expect(
                shown[0].fields["bytes_base64"] == "/w=="
                    && shown[0].fields["freshetreason"] == "order 17 of o-4 is gone")
            let text = try await rig.start("freshet", ["dead", "show"] + Self.place + ["--id", "2-0"])
                .outcome()
            #expect(text.lines.contains("data: {\"n\":1}"))
            let missing = try await run(rig, "show", "--id", "9-0")
            #expect(missing.exitCode == 1 && missing.errors.contains("'9-0'"))
        }
    }
}
