import Freshet
import FreshetTesting
import Hiredis
import Synchronization
import Testing

@Suite struct RetriesTests {
    private static let place = ["--topic", "orders", "--group", "payment"]

    private struct Retry: Decodable {
        let eventID, type, key, reason, dueAt: String
        let attempts, partition: Int
    }

    private struct Placed: EventPayload {
        static let eventType: EventType = "order.placed"
        let number: Int
    }

    private func run(_ rig: Rig, _ verb: String, _ arguments: String...) async throws -> Outcome {
        try await rig.start("freshet", ["retries", verb] + Self.place + ["--format", "json"] + arguments)
            .outcome()
    }

    /// Three events whose retries are an hour away; what comes after the first attempt is told to `handled`.
    private func withRetries(
        ordering: Ordering = .any, handled: @escaping @Sendable (Event) -> Void,
        _ body: (Rig, Subscription) async throws -> Void
    ) async throws {
        try await Rig.with { rig in
            let topic = Topic("orders")
            var options = SubscriptionOptions()
            options.ordering = ordering
            let subscription = Subscription(to: topic, group: "payment", on: rig.broker, options: options) {
                On(Placed.self) { order, delivery in
                    if delivery.attempt == 1, order.number < 3 {
                        throw Respond(.retryAfter(.seconds(3600)), because: "no answer")
                    }
                    handled(delivery.event)
                }
            }
            try await running(subscription) {
                let publisher = Publisher(to: topic, on: rig.broker)
                for number in 0..<3 {
                    try await publisher.publish(
                        Event(Placed(number: number), source: "till", id: "e\(number)", key: "k\(number)"))
                }
                try await eventually("three wait") { subscription.counters[.scheduled] == 3 }
                try await body(rig, subscription)
            }
        }
    }

    @Test func `they are listed with when they are due, and why`() async throws {
        try await withRetries(handled: { _ in }) { rig, _ in
            let retries = try await run(rig, "list").json([Retry].self)
            #expect(Set(retries.map(\.eventID)) == ["e0", "e1", "e2"])
            #expect(
                retries.allSatisfy {
                    $0.reason == "no answer" && $0.attempts == 1 && $0.type == "order.placed"
                })
            #expect(retries.map(\.dueAt) == retries.map(\.dueAt).sorted())
            #expect(Set(retries.map(\.key)) == ["k0", "k1", "k2"])
            let none = try await run(rig, "list", "--type", "order.seen").json([Retry].self)
            #expect(none.isEmpty)
        }
    }

    @Test func `one is tried again now, the others wait on`() async throws {
        let handled = Handled()
        try await withRetries(handled: { handled.add($0.id) }) { rig, _ in
            let plan = try await run(rig, "now", "--event", "e1", "--dry-run")
            #expect(plan.exitCode == 0 && handled.all.isEmpty)
            #expect(try await run(rig, "now", "--event", "e1", "--yes").exitCode == 0)
            try await eventually("it is handled") { handled.all == ["e1"] }
            #expect(try await run(rig, "list").json([Retry].self).count == 2)
            let missing = try await run(rig, "now", "--event", "e7", "--yes")
            #expect(missing.exitCode == 1 && missing.errors.contains("e7"))
            #expect(
                try await run(rig, "now", "--yes").exitCode == 64,
                "never all of them by leaving something out")
        }
    }

    @Test(arguments: [Ordering.any, .perKey])
    func `a cancelled one is a dead letter, and its key goes on`(ordering: Ordering) async throws {
        let handled = Handled()
        try await withRetries(ordering: ordering, handled: { handled.add($0.id) }) { rig, subscription in
            let publisher = Publisher(to: Topic("orders"), on: rig.broker)
            try await publisher.publish(Event(Placed(number: 9), source: "till", id: "next", key: "k1"))
            if ordering == .any {
                try await eventually("no order holds it back") { handled.all == ["next"] }
            }
            #expect(try await run(rig, "cancel", "--event", "e1", "--yes").exitCode == 0)
            try await eventually("the key goes on") { handled.all == ["next"] }
            #expect(
                try await rig.broker.auditRecords(last: 9).map(\.action) == [
                    "retries.cancel", "retries.cancel.done",
                ])
            #expect(try await run(rig, "list").json([Retry].self).count == 2)
            var dead: [DeadLetter] = []
            for try await letter in rig.broker.deadLetters(of: "payment", topic: Topic("orders")) {
                dead.append(letter)
            }
            #expect(
                dead.map(\.eventID) == ["e1"] && dead[0].reason == "no answer" && !dead[0].failedAt.isEmpty)
            try await eventually("the word that it left is gone") {
                try await rig.client.send(.xlen("test:redelivery:{orders:0}:payment")) == 0
            }
        }
    }
}

/// What handlers saw, from any thread.
private final class Handled: Sendable {
    private let ids = Mutex<[String]>([])
    func add(_ id: String) { ids.withLock { $0.append(id) } }
    var all: [String] { ids.withLock { $0 } }
}
