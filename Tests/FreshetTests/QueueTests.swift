import Freshet
import FreshetTesting
import Hiredis
import Testing

/// Topics whose events are deleted once they are settled.
@Suite struct QueueTests {
    private struct Hiccup: Error {}
    private let queue = Topic("orders", kind: .queue)

    @Test(arguments: [Ordering.any, .perKey])
    func `what is settled is deleted, and the length is what is left to do`(ordering: Ordering) async throws {
        try await Rig.with { rig in
            let (seen, gate) = (Seen(), Gate())
            var options = options(concurrency: 4)
            options.ordering = ordering
            let subscription = Subscription(to: queue, group: "a", on: rig.broker, options: options) {
                On(Placed.self) { order, delivery in
                    if order.orderId == "7" { throw Respond(.deadLetter, because: "no") }
                    if order.orderId == "8", delivery.attempt == 1 { throw Hiccup() }
                    if order.orderId == "19" { await gate.wait() }
                    seen.add(order.orderId)
                }
            }
            try await rig.place((0..<20).map(String.init))
            try await running(subscription) {
                try await eventually("all but one are handled") { seen.count == 18 }
                try await eventually("the log has what is left") {
                    try await rig.length(rig.keys.events) == 1
                }
                gate.open()
                try await eventually("nothing is left") { try await rig.length(rig.keys.events) == 0 }
            }
            #expect(try await rig.length(rig.keys.dead("a")) == 1)
            #expect(try await rig.length(rig.keys.redelivery("a")) == 0)
            #expect(try await rig.pending("a") == 0)
            #expect(subscription.counters[.lost] == 0)
        }
    }

    @Test func `a second group is refused, and so is a program that takes it for a log`() async throws {
        try await Rig.with { rig in
            func run(_ topic: Topic, _ group: GroupName) async throws {
                try await running(
                    Subscription(to: topic, group: group, on: rig.broker) { On(Placed.self) { _, _ in } }
                ) {
                    try await eventually("it has a group") {
                        try await rig.broker.groups(of: topic).contains(group)
                    }
                }
            }
            try await run(queue, "a")
            let second = await #expect(throws: FreshetError.self) {
                try await subscription(queue, "b", rig).run()
            }
            #expect(second?.message.contains("a queue of the group 'a'") == true)
            let log = await #expect(throws: FreshetError.self) {
                try await subscription(.orders, "a", rig).run()
            }
            #expect(log?.message.contains("is a queue") == true)
            #expect(try await rig.broker.topic(named: "orders")?.kind == .queue)
            try await run(queue, "a")
        }
    }

    private func subscription(_ topic: Topic, _ group: GroupName, _ rig: Rig) -> Subscription {
        Subscription(to: topic, group: group, on: rig.broker) { On(Placed.self) { _, _ in } }
    }
}
