import Freshet
import FreshetTesting
import Testing

@Suite struct ConsumersTests {
    private struct Row: Decodable {
        let name, state: String
        let pending: Int
        let partitions: [Int]
        let idleSeconds: Double
        let oldestPendingSeconds: Double?
    }

    /// `a` holds two events, `b` holds none, and neither has been heard of for the lease of 10 ms.
    private func withDead(_ body: (Rig) async throws -> Void) async throws {
        try await Rig.with { rig in
            try await rig.publish(1...5)
            try await rig.createGroup()
            try await rig.redis(
                "XREADGROUP", "GROUP", "payment", "a", "COUNT", 2, "STREAMS", "test:events:{orders:0}", ">")
            try await rig.redis("XGROUP", "CREATECONSUMER", "test:events:{orders:0}", "payment", "b")
            try await eventually("their lease is over") {
                try await rig.broker.groupLooks(lease: .milliseconds(10)).allSatisfy { look in
                    look.consumers.allSatisfy { $0.state == .dead }
                }
            }
            try await body(rig)
        }
    }

    private func run(_ rig: Rig, _ arguments: String...) async throws -> Outcome {
        try await rig.start("freshet", ["consumers", "--lease", "10ms", "--format", "json"] + arguments)
            .outcome()
    }

    @Test func `each is listed with what it holds and whether it lives`() async throws {
        try await withDead { rig in
            let rows = try await run(rig).json([Row].self)
            #expect(rows.map(\.name) == ["a", "b"] && rows.map(\.pending) == [2, 0])
            #expect(rows.map(\.state) == ["dead", "dead"] && rows[0].oldestPendingSeconds != nil)
            let longer = try await rig.run(
                "freshet", "consumers", "--format", "json", environment: ["FRESHET_LEASE": "600"])
            #expect(try longer.json([Row].self).map(\.state) == ["alive", "alive"])
            let bad = try await rig.run("freshet", "consumers", environment: ["FRESHET_LEASE": "soon"])
            #expect(bad.exitCode == 78 && bad.errors.contains("FRESHET_LEASE"))
            let table = try await rig.run("freshet", "consumers", "--lease", "10ms")
            #expect(table.lines.count == 3)
            #expect(table.lines[0].hasPrefix("TOPIC   GROUP    CONSUMER  STATE  PENDING"))
            #expect(table.lines[1].hasPrefix("orders  payment  a         dead         2"))
            let none = try await run(rig, "--topic", "orders", "--group", "none")
            #expect(none.exitCode == 1 && none.errors.contains("payment"))
        }
    }

    @Test func `owners of partitions are alive, and their partitions are shown`() async throws {
        try await Rig.with { rig in
            var options = SubscriptionOptions()
            options.ordering = .perKey
            let topic = Topic("orders", partitions: 2)
            let subscription = Subscription(to: topic, group: "payment", on: rig.broker, options: options) {
                On("order.placed") { _ in }
            }
            try await running(subscription) {
                try await eventually("it owns both") {
                    let rows = try await run(rig).json([Row].self)
                    return rows.count == 1 && rows[0].state == "alive" && rows[0].partitions == [0, 1]
                }
            }
        }
    }

    @Test func `dead ones are removed when they hold nothing, and only then`() async throws {
        try await withDead { rig in
            func names() async throws -> [String] { try await run(rig).json([Row].self).map(\.name) }
            let asked = try await run(rig, "--remove-dead")
            #expect(asked.exitCode == 64 && asked.errors.contains("--yes"))
            let dry = try await run(rig, "--remove-dead", "--dry-run")
            #expect(dry.exitCode == 0 && dry.errors.contains("1 dead consumer with 2 events stay"))
            #expect(try dry.json([Row].self).map(\.name) == ["b"])
            #expect(try await names() == ["a", "b"])
            let done = try await run(rig, "--remove-dead", "--yes")
            #expect(done.exitCode == 0)
            #expect(try done.json([Row].self).map(\.name) == ["b"])
            #expect(try await names() == ["a"])
            #expect(try await rig.broker.groupReports()[0].pending == 2)
            let again = try await run(rig, "--remove-dead", "--yes")
            #expect(again.exitCode == 0 && again.output == "[]\n")
            #expect(try await run(rig, "--dry-run").exitCode == 64)
        }
    }
}
