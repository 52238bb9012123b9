import Freshet
import FreshetTesting
import Testing

@Suite struct PendingTests {
    private struct Row: Decodable {
        let topic, group, eventID, type, key, state: String
        let position, consumer, nextAttempt: String?
        let partition, failedAttempts: Int
        let deliveries: Int?
        let idleSeconds: Double?
        let isRedelivery, isGone: Bool
    }

    private struct Failure: Error {}

    @Test func `what is held and what waits for its next attempt is listed`() async throws {
        try await Rig.with { rig in
            try await rig.publish(1...1)
            var options = SubscriptionOptions()
            options.retry.base = .seconds(600)
            options.retry.ceiling = .seconds(600)
            let subscription = Subscription(
                to: Topic("orders"), group: "payment", on: rig.broker, options: options
            ) {
                On("order.placed") { _ in throw Failure() }
            }
            try await running(subscription) {
                try await eventually("it has failed") {
                    try await rig.broker.groupReports(topic: "orders").first?.delayed == 1
                }
            }
            try await rig.publish(2...4)
            try await rig.redis(
                "XREADGROUP", "GROUP", "payment", "c-1", "COUNT", 2, "STREAMS", "test:events:{orders:0}", ">")
            let outcome = try await rig.run("freshet", "pending", "--format", "json")
            let rows = try outcome.json([Row].self)
            #expect(
                rows.map(\.eventID) == ["e2", "e3", "e1"] && rows.map(\.state) == ["held", "held", "delayed"])
            #expect(rows.map(\.consumer) == ["c-1", "c-1", nil] && rows.map(\.deliveries) == [1, 1, nil])
            #expect(rows[0].position == "2-0" && rows[0].key == "k2" && rows[0].type == "order.placed")
            #expect(rows[2].failedAttempts == 1 && rows[2].nextAttempt?.hasPrefix("20") == true)
            let table = try await rig.run("freshet", "pending", "--topic", "orders", "--group", "payment")
            #expect(table.lines.count == 4 && table.lines[0].hasPrefix("TOPIC   GROUP    PARTITION  ID"))
            #expect(table.lines[0].hasSuffix("NEXT ATTEMPT"))
        }
    }

    @Test func `consumer, idle time and limit narrow the list`() async throws {
        try await Rig.with { rig in
            try await rig.publish(1...300)
            try await rig.createGroup()
            for (consumer, count) in [("a", 230), ("b", 5)] {
                try await rig.redis(
                    "XREADGROUP", "GROUP", "payment", consumer, "COUNT", count, "STREAMS",
                    "test:events:{orders:0}", ">")
            }
            try await rig.redis("ZADD", "test:delayed:{orders:0}:payment", 1, "1-0 \u{90}")
            func count(_ arguments: String...) async throws -> Int {
                let all = ["pending", "--limit", "1000", "--format", "json", "--topic", "orders"] + arguments
                return try await rig.start("freshet", all).outcome().json([Row].self).count
            }
            #expect(try await count("--consumer", "b") == 5)
            #expect(try await count("--consumer", "a") == 230)
            #expect(try await count("--idle-over", "1h") == 0)
            #expect(try await count("--idle-over", "0s") == 235)
            let few = try await rig.run("freshet", "pending", "--limit", "3", "--format", "ndjson")
            #expect(few.lines.count == 3 && few.errors.contains("more"))
            let exact = try await rig.run("freshet", "pending", "--limit", "5", "--consumer", "b")
            #expect(exact.lines.count == 6 && exact.errors.isEmpty)
            #expect(try await rig.run("freshet", "pending", "--limit", "0").exitCode == 64)
            #expect(try await rig.run("freshet", "pending", "--idle-over", "soon").exitCode == 64)
            #expect(try await rig.run("freshet", "pending", "--topic", "none").exitCode == 1)
        }
    }
}
