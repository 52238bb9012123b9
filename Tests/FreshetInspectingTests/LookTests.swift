import Freshet
import FreshetTesting
import Hiredis
import Testing

@Suite struct LookTests {
    private func look(_ rig: Rig, lease: Duration = .seconds(10)) async throws -> GroupLook {
        let looks = try await rig.broker.groupLooks(lease: lease)
        return try #require(looks.first)
    }

    /// What came and was settled between two looks, whatever the time was.
    private func flow(_ rig: Rig, _ body: () async throws -> Void) async throws -> GroupPace.Flow? {
        let before = try await look(rig)
        try await body()
        let after = try await look(rig)
        return try await rig.broker.pace(from: before, to: after)?.partitions[0]
    }

    private func read(_ rig: Rig, _ count: Int, of stream: String) async throws {
        try await rig.redis("XREADGROUP", "GROUP", "payment", "a", "COUNT", count, "STREAMS", stream, ">")
    }

    @Test func `what came and what was settled between two looks, also where the server counts no lag`()
        async throws
    {
        try await Rig.with { rig in
            try await rig.fill(rig.log(), 1...20)
            try await rig.redis("XGROUP", "CREATE", rig.log(), "payment", "0")
            for isLagKnown in [true, false] {
                if !isLagKnown {
                    // A deletion ahead of the group: lag and entries-read become NULL.
                    try await rig.redis("XDEL", rig.log(), "15-0")
                    try await rig.redis("XGROUP", "SETID", rig.log(), "payment", "9-0")
                    try await rig.redis("XTRIM", rig.log(), "MINID", "10")
                }
                let base = isLagKnown ? 0 : 9
                let flow = try #require(
                    try await flow(rig) {
                        try await read(rig, 4, of: rig.log())
                        for number in 1...3 {
                            try await rig.redis("XACK", rig.log(), "payment", "\(base + number)-0")
                        }
                        let next = isLagKnown ? 21...25 : 26...30
                        try await rig.fill(rig.log(), next)
                    })
                #expect((flow.added, flow.settled) == (5, 3), "known \(isLagKnown)")
            }
        }
    }

    @Test func `what is to be seen again counts, and of a queue what was deleted`() async throws {
        try await Rig.with { rig in
            try await rig.fill(rig.log(), 1...4)
            try await rig.redis("XGROUP", "CREATE", rig.log(), "payment", "4-0")
            let again = rig.broker.keys("orders", 0).redelivery("payment")
            try await rig.redis("XGROUP", "CREATE", again, "payment", "0", "MKSTREAM")
            let redelivered = try #require(
                try await flow(rig) {
                    try await rig.fill(again, 1...5)
                    try await rig.redis("XDEL", again, "1-0", "2-0")
                })
            #expect((redelivered.added, redelivered.settled) == (5, 2))
            try await rig.redis("HSET", "test:topic:{orders}", "kind", "queue", "partitions", 1)
            let queue = try #require(
                try await flow(rig) {
                    try await rig.fill(rig.log(), 5...10)
                    try await rig.redis("XDEL", rig.log(), "5-0")
                })
            #expect((queue.added, queue.settled) == (6, 1))
        }
    }

    @Test func `a group that was moved back has no pace`() async throws {
        try await Rig.with { rig in
            try await rig.fill(rig.log(), 1...9)
            try await rig.redis("XGROUP", "CREATE", rig.log(), "payment", "9-0")
            let flow = try await flow(rig) {
                try await rig.redis("XGROUP", "SETID", rig.log(), "payment", "2-0")
            }
            #expect(flow == nil)
        }
    }

    @Test
    func `a consumer lives while it is heard of, owns something, has met the group, or waits in a read`()
        async throws
    {
        try await Rig.with { rig in
            try await rig.fill(rig.log(), 1...9)
            try await rig.redis("XGROUP", "CREATE", rig.log(), "payment", "0")
            try await read(rig, 2, of: rig.log())
            let heard = try await look(rig)
            #expect(heard.consumers.map(\.name) == ["a"] && heard.consumers[0].state == .alive)
            try await eventually("its lease has run out") {
                try await look(rig, lease: .milliseconds(20)).consumers[0].state == .dead
            }
            let dead = try await look(rig, lease: .milliseconds(20))
            #expect(dead.consumers[0].pending == 2 && (dead.consumers[0].oldestPendingSeconds ?? 0) > 1e6)
            try await rig.redis("HSET", "test:lease:{orders:0}:payment", "owner", "a", "epoch", 1)
            let owner = try await look(rig, lease: .milliseconds(1))
            #expect(owner.consumers[0].state == .alive && owner.consumers[0].partitions == [0])
            try await rig.redis("DEL", "test:lease:{orders:0}:payment")
            // Those that hold nothing: one with a connection of its name, one that has met the group, one that is gone.
            for name in ["b", "c", "d"] {
                try await rig.redis("XGROUP", "CREATECONSUMER", rig.log(), "payment", name)
            }
            let reader = rig.client.dedicated(clientName: "test:payment:b")
            defer { reader.close() }
            try await reader.connect()
            let due = try await rig.broker.serverTime().milliseconds + 100_000
            try await rig.redis("HSET", "test:members:{orders}:payment", "c", "\(due) 0", "gone", "1 0")
            try await eventually("they are silent") {
                try await look(rig).consumers.allSatisfy { $0.idleSeconds > 0.03 || $0.name == "gone" }
            }
            let states = try await look(rig, lease: .milliseconds(20)).consumers.map {
                "\($0.name) \($0.state)"
            }
            #expect(states == ["a dead", "b alive", "c alive", "d dead"])
        }
    }

    @Test func `a name is removed only where it holds nothing, so that no event is lost`() async throws {
        try await Rig.with { rig in
            try await rig.fill(rig.log(), 1...9)
            try await rig.redis("XGROUP", "CREATE", rig.log(), "payment", "0")
            try await read(rig, 2, of: rig.log())
            try await rig.redis("XGROUP", "CREATECONSUMER", rig.log(), "payment", "b")
            let topic = Topic("orders")
            let removed = try await rig.broker.removeConsumers(["a", "b"], of: "payment", topic: topic)
            #expect(removed == ["b"])
            let report = try await rig.report()
            #expect(report.consumers.map(\.name) == ["a"] && report.pending == 2)
        }
    }

    @Test func `unsettled events are listed page by page, with what is known of them`() async throws {
        try await Rig.with { rig in
            try await rig.fill(rig.log(), 1...250)
            try await rig.redis("XGROUP", "CREATE", rig.log(), "payment", "0")
            try await read(rig, 220, of: rig.log())
            try await rig.redis("XDEL", rig.log(), "7-0")
            var events: [UnsettledEvent] = []
            try await rig.broker.forEachUnsettled(of: "payment", topic: Topic("orders")) { event in
                events.append(event)
                return true
            }
            #expect(events.map { $0.position } == (1...220).map { id($0) })
            #expect(events[0].eventID == "e1" && events[0].type == "t" && events[0].consumer == "a")
            #expect(events[0].deliveries == 1 && events[0].state == .held && !events[0].isGone)
            #expect(events[6].isGone && events[6].eventID.isEmpty)
            var none = UnsettledSelection()
            none.consumer = "b"
            var others = 0
            try await rig.broker.forEachUnsettled(of: "payment", topic: Topic("orders"), where: none) { _ in
                others += 1
                return true
            }
            #expect(others == 0)
        }
    }
}
