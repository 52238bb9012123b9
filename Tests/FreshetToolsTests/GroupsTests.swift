import Freshet
import FreshetTesting
import Testing

@Suite struct GroupsTests {
    @Test func `JSON has a fixed shape`() async throws {
        try await Rig.with { rig in
            try await rig.publish(1...5)
            try await rig.createGroup(after: "2-0")
            try await rig.redis(
                "XREADGROUP", "GROUP", "payment", "c-1", "COUNT", 1, "STREAMS", "test:events:{orders:0}", ">")
            let outcome = try await rig.run("freshet", "groups", "--format", "json", "--over", "100ms")
            #expect(outcome.exitCode == 0 && outcome.errors.isEmpty)
            #expect(
                try outcome.json([MemberNames].self).map(\.names) == [
                    [
                        "asOf", "consumers", "consumersAlive", "dead", "delayed", "group", "inPerSecond",
                        "invalid", "lagKnown", "length", "oldestWaitingSeconds", "outPerSecond",
                        "overSeconds",
                        "partitions", "pending", "sentence", "state", "topic", "waiting",
                    ]
                ])
            struct Partitions: Decodable { let partitions: [MemberNames] }
            #expect(
                try outcome.json([Partitions].self)[0].partitions.map(\.names) == [
                    [
                        "dead", "delayed", "invalid", "lagKnown", "length", "oldestWaitingSeconds",
                        "partition",
                        "pending", "waiting",
                    ]
                ])
            struct Consumers: Decodable { let consumers: [MemberNames] }
            #expect(
                try outcome.json([Consumers].self)[0].consumers.map(\.names) == [
                    ["idleSeconds", "name", "pending"]
                ])
            let report = try outcome.json([GroupReport].self)[0]
            #expect(report.topic == "orders" && report.group == "payment")
            #expect((report.length, report.waiting, report.pending) == (5, 2, 1))
            #expect(report.consumers.map(\.name) == ["c-1"])
            let lines = try await rig.run("freshet", "groups", "--over", "0s", "--format", "ndjson")
            #expect(lines.lines.count == 1 && lines.output.hasPrefix("{"))
        }
    }

    @Test func `a table has aligned columns, numbers on the right`() async throws {
        try await Rig.with { rig in
            try await rig.publish(1...12)
            try await rig.createGroup("payment")
            try await rig.createGroup("a-group-with-a-long-name", after: "12-0")
            let outcome = try await rig.run("freshet", "groups", "--over", "0s")
            #expect(outcome.exitCode == 0)
            #expect(outcome.lines.count == 3)
            #expect(outcome.lines[0].hasPrefix("TOPIC   GROUP                     LENGTH  WAITING"))
            #expect(outcome.lines[1].hasPrefix("orders  a-group-with-a-long-name      12        0"))
            #expect(outcome.lines[2].hasPrefix("orders  payment                       12       12"))
        }
    }

    @Test func `with --partitions each has its row`() async throws {
        try await Rig.with { rig in
            try await rig.publish(1...2)
            try await rig.publish(1...3, partition: 1)
            for partition in 0...1 { try await rig.createGroup(partition: partition) }
            let table = try await rig.run("freshet", "groups", "--over", "0s", "--partitions")
            #expect(table.lines.count == 3 && table.lines[0].contains("PARTITION"))
            let report = try await rig.run("freshet", "groups", "--over", "0s", "--format", "json").json(
                [GroupReport].self)[
                    0]
            #expect(report.partitions.map(\.waiting) == [2, 3] && report.waiting == 5)
        }
    }

    @Test func `a topic or group narrows the list; an empty system is no error`() async throws {
        try await Rig.with { rig in
            let none = try await rig.run("freshet", "groups", "--format", "json")
            #expect(none.exitCode == 0 && none.output == "[]\n")
            #expect(none.errors.contains("no groups"))
            try await rig.publish(1...2)
            for group in ["payment", "shipping"] { try await rig.createGroup(group) }
            try await rig.redis("XGROUP", "CREATE", "test:events:{customers:0}", "payment", "0", "MKSTREAM")
            func groups(_ arguments: String...) async throws -> [String] {
                try await rig.start("freshet", ["groups", "--over", "0s", "--format", "json"] + arguments)
                    .outcome()
                    .json([GroupReport].self).map { "\($0.topic)/\($0.group)" }
            }
            #expect(try await groups() == ["customers/payment", "orders/payment", "orders/shipping"])
            #expect(try await groups("--topic", "orders") == ["orders/payment", "orders/shipping"])
            #expect(try await groups("--group", "payment") == ["customers/payment", "orders/payment"])
            #expect(try await groups("--topic", "orders", "--group", "shipping") == ["orders/shipping"])
        }
    }

    @Test func `flags win over the environment`() async throws {
        try await Rig.with { rig in
            try await rig.publish(1...2)
            try await rig.createGroup()
            let other = try await rig.run("freshet", "groups", "--format", "json", "--namespace", "other")
            #expect(other.output == "[]\n")
            let flag = try await rig.run(
                "freshet", "groups", "--over", "0s", "--format", "json", "--redis-url", rig.server.url,
                "--namespace", "test",
                environment: ["REDIS_URL": "redis://127.0.0.1:1", "FRESHET_NAMESPACE": "other"])
            #expect(try flag.json([GroupReport].self).count == 1)
        }
    }
}
