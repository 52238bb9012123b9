import Freshet
import Hiredis
import Testing

@Suite struct TopicsTests {
    private static let file = """
        {"topics": [
          {"name": "orders", "partitions": 2, "groups": [{"name": "audit"}, {"name": "payment", "ordering": "perKey"}],
           "retention": {"age": "7d", "count": 1000}, "durability": {"replicated": 1, "within": "500ms"}, "limit": 5000},
          {"name": "jobs", "kind": "queue"}
        ]}
        """

    private struct Change: Decodable, Hashable { let topic, what, from, to: String }

    @Test func `a file is applied, once, and what is listed is such a file`() async throws {
        try await Rig.with { rig in
            let dry = try await rig.run(
                "freshet", "topics", "apply", "-", "--dry-run", "--format", "json", input: Self.file)
            let wanted = try dry.json([Change].self)
            #expect(wanted.contains(Change(topic: "orders", what: "retention.age", from: "", to: "7d")))
            #expect(wanted.contains(Change(topic: "orders", what: "group audit", from: "", to: "earliest")))
            #expect(try await rig.redis("DBSIZE").integer == 0, "a dry run changes nothing")
            let applied = try await rig.run(
                "freshet", "topics", "apply", "-", "--format", "json", input: Self.file)
            #expect(try applied.exitCode == 0 && applied.json([Change].self) == wanted)
            #expect(try await rig.redis("XINFO", "GROUPS", "test:events:{orders:1}").array?.count == 2)
            let listed = try await rig.run("freshet", "topics", "list", "--format", "json")
            #expect(
                try listed.json([TopicDeclaration].self)
                    == TopicDeclaration.list(json: Array(Self.file.utf8)).reversed())
            let again = try await rig.run(
                "freshet", "topics", "apply", "-", "--format", "json", input: listed.output)
            #expect(again.output == "[]\n" && again.errors.contains("so already"))
            let table = try await rig.run("freshet", "topics", "list")
            #expect(table.output.contains("7d, 1000 entries") && table.output.contains("payment (perKey)"))
        }
    }

    @Test func `what is changed is said, a group that is not named stays until it is forgotten`() async throws
    {
        try await Rig.with { rig in
            _ = try await rig.run("freshet", "topics", "apply", "-", input: Self.file)
            let changed = try await rig.run(
                "freshet", "topics", "apply", "-", "--format", "json",
                input:
                    #"[{"name": "orders", "partitions": 2, "groups": [{"name": "payment"}], "retention": {"age": "1d"}}]"#
            )
            #expect(changed.errors.contains("'audit'"))
            let changes = try changed.json([Change].self)
            #expect(changes.contains(Change(topic: "orders", what: "retention.age", from: "7d", to: "1d")))
            #expect(changes.contains(Change(topic: "orders", what: "limit", from: "5000", to: "")))
            let forgotten = try await rig.run(
                "freshet", "topics", "forget", "orders", "--group", "audit", "--yes")
            #expect(forgotten.exitCode == 0 && forgotten.errors.contains("waiting 0"))
            #expect(try await rig.broker.groups(of: Topic("orders", partitions: 2)) == ["payment"])
        }
    }

    @Test(arguments: [
        (#"[{"name": "orders", "partitons": 2}]"#, "[0].partitons: is unknown"),
        (#"[{"name": "orders", "retention": {"age": "soon"}}]"#, "[0].retention.age: 'soon' is no duration"),
        (#"[{"name": "or ders"}]"#, "'or ders' is no topic"),
        (#"[{"name": "orders", "partitions": 0}]"#, "[0].partitions: 0 is less than 1"),
        (#"[{"name": "a"}, {"name": "a"}]"#, "twice"),
        (
            #"[{"name": "a", "kind": "queue", "groups": [{"name": "b"}, {"name": "c"}]}]"#,
            "a queue has one group"
        ),
        (
            #"[{"name": "a", "groups": [{"name": "b", "start": "noon"}]}]"#,
            "[0].groups[0].start: 'noon' is none"
        ),
        ("[{", "-:"),
    ])
    func `a bad file is refused with the place, and nothing is changed`(file: String, reason: String)
        async throws
    {
        try await Rig.with { rig in
            let outcome = try await rig.run("freshet", "topics", "apply", "-", input: file)
            #expect(outcome.exitCode == 65 && outcome.errors.contains(reason), "\(outcome.errors)")
            #expect(try await rig.redis("DBSIZE").integer == 0)
        }
    }

    @Test func `partitions cannot be changed, and then nothing of the file is`() async throws {
        try await Rig.with { rig in
            _ = try await rig.run("freshet", "topics", "apply", "-", input: Self.file)
            let outcome = try await rig.run(
                "freshet", "topics", "apply", "-",
                input: #"[{"name": "new"}, {"name": "orders", "partitions": 3}]"#)
            #expect(outcome.exitCode == 1 && outcome.errors.contains("number of partitions"))
            #expect(try await rig.redis("EXISTS", "test:topic:{new}").integer == 0)
        }
    }

    @Test func `trim cuts off what is not kept, and says who needs the rest`() async throws {
        try await Rig.with { rig in
            try await rig.fill(5000)
            _ = try await rig.run(
                "freshet", "topics", "apply", "-",
                input: #"[{"name": "orders", "retention": {"count": 100}}]"#)
            let trimmed = try await rig.run("freshet", "topics", "trim", "orders")
            #expect(trimmed.exitCode == 0 && trimmed.output.hasPrefix("cut off: 4"))
            #expect(try await (100...200).contains(rig.length("test:events:{orders:0}")))
            try await rig.createGroup()
            _ = try await rig.fillMore(from: 5001, through: 6000)
            let held = try await rig.run("freshet", "topics", "trim", "orders")
            #expect(held.errors.contains("payment") && held.output.hasPrefix("cut off: 0"))
        }
    }
}

extension Rig {
    fileprivate func fillMore(from first: Int, through last: Int) async throws {
        try await redis(
            "EVAL",
            "for i = ARGV[1], ARGV[2] do redis.call('XADD', KEYS[1], i .. '-0', 'id', i, 'type', 't') end", 1,
            "test:events:{orders:0}", first, last)
    }
}
