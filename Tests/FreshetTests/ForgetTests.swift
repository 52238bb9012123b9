import Freshet
import FreshetTesting
import Hiredis
import Testing

@Suite struct ForgetTests {
    @Test func `a group whose consumer waits in its first read is not forgotten`() async throws {
        try await Rig.with { rig in
            let subscription = Subscription(to: .orders, group: "a", on: rig.broker) {
                On(Placed.self) { _, _ in }
            }
            try await running(subscription) {
                // Redis 7.0 knows nothing of a consumer that was never given an event.
                try await eventually("it waits") { try await rig.isReading("a") }
                let refusal = await #expect(throws: FreshetError.self) {
                    try await rig.broker.forget("a", of: .orders)
                }
                #expect(refusal?.code == .refused)
                #expect(refusal?.message.contains(subscription.consumer.rawValue) == true)
                #expect(try await rig.broker.groups(of: .orders) == ["a"])
            }
            try await rig.broker.forget("a", of: .orders)
            #expect(try await rig.broker.groups(of: .orders) == [])
        }
    }

    @Test func `a connection that reads another topic keeps no group`() async throws {
        try await Rig.with { rig in
            try await rig.broker.declare(TopicDeclaration(Topic("parcels"), groups: [GroupDeclaration("a")]))
            let subscription = Subscription(to: .orders, group: "a", on: rig.broker) {
                On(Placed.self) { _, _ in }
            }
            try await running(subscription) {
                try await eventually("it waits") { try await rig.isReading("a") }
                try await rig.broker.forget("a", of: Topic("parcels"))
            }
        }
    }

    @Test(arguments: [Ordering.any, .perKey])
    func `a consumer whose group is forgotten ends with an error, and handles nothing again`(
        ordering: Ordering
    ) async throws {
        try await Rig.with { rig in
            try await rig.place((0..<20).map { "\($0)" })
            let seen = Record<String>()
            var own = options()
            own.ordering = ordering
            func subscription() -> Subscription {
                Subscription(to: .orders, group: "a", on: rig.broker, options: own) {
                    On(Placed.self) { order, _ in seen.add(order.orderId) }
                }
            }
            let first = subscription()
            let run = Task { try await first.run() }
            try await eventually("all is settled") {
                guard seen.count == 20 else { return false }
                return try await rig.pending("a") == 0
            }
            try await rig.broker.forget("a", of: .orders, isForced: true)
            let failure = await #expect(throws: FreshetError.self) { try await run.value }
            #expect(failure?.code == .refused && failure?.message.contains("forgotten") == true)
            #expect(try await rig.broker.groups(of: .orders) == [] && seen.count == 20)
            // Whoever starts now wants the group, from its start.
            try await running(subscription()) {
                try await eventually("it is made anew") { seen.count == 40 }
            }
        }
    }
}

extension Rig {
    /// Whether a connection of the group waits in a read.
    fileprivate func isReading(_ group: GroupName) async throws -> Bool {
        let list = try await client.send(RedisCommand("CLIENT", "LIST")).string ?? ""
        return list.split(separator: "\n").contains {
            $0.contains("name=test:\(group):") && $0.contains("cmd=xreadgroup")
        }
    }
}
