import Freshet
import FreshetReplay
import FreshetTesting
import Hiredis
import Synchronization
import Testing

@Suite struct RewindTests {
    private static func rewind(_ rig: Rig, to target: ReplayPoint, partition: Int? = nil) async throws
        -> Rewind
    {
        try await Rewind(
            topic: "orders", group: "payment", to: target, partition: partition, on: rig.broker)
    }

    /// A field of the group's, as the server has it.
    private static func group(_ rig: Rig, _ field: String, partition: Int = 0) async throws -> RedisReply? {
        let groups = try await rig.redis("XINFO", "GROUPS", rig.keys(partition).events)
        let fields = groups.array?[0].array.map(Array.init) ?? []
        return fields.firstIndex { $0.string == field }.map { fields[$0 + 1] }
    }

    @Test func `going back, the group reads again from that place on, and the server's lag is right`()
        async throws
    {
        try await Rig.with { rig in
            try await rig.publish(1...10)
            try await rig.createGroup()
            _ = try await rig.read(8)
            let rewind = try await Self.rewind(rig, to: .id(id(4)))
            let moves = try await rewind.plan()
            #expect(try await Self.group(rig, "last-delivered-id")?.string == "8-0", "a plan changes nothing")
            #expect(moves.count == 1 && moves[0].from == id(8) && moves[0].to == id(3, .max))
            #expect(moves[0].readAgain == 5 && moves[0].passedOver == 0 && moves[0].entriesRead == 3)
            try await rewind.run(moves)
            #expect(try await Self.group(rig, "lag")?.integer == 7)
            #expect(try await rig.read(100) == (4...10).map { id($0) })
            #expect(try await Self.group(rig, "lag")?.integer == 0)
        }
    }

    @Test func `going forth, it passes over what was waiting; the end is as far as it goes`() async throws {
        try await Rig.with { rig in
            try await rig.publish(1...10)
            try await rig.createGroup()
            _ = try await rig.read(2)
            for target in [ReplayPoint.end, .id(id(99)), .time(Timestamp(milliseconds: 4_000_000_000_000))] {
                let rewind = try await Self.rewind(rig, to: target)
                let moves = try await rewind.plan()
                #expect(moves[0].to == id(10), "\(target)")
                try await rewind.run(moves)
            }
            #expect(try await Self.group(rig, "lag")?.integer == 0)
            try await rig.publish([11])
            #expect(try await rig.read(100) == [id(11)], "what comes then is not passed over")
            let back = try await Self.rewind(rig, to: .start).plan()
            #expect(back[0].readAgain == 11)
        }
    }

    @Test func `trimmed and deleted entries are not counted`() async throws {
        try await Rig.with { rig in
            try await rig.publish(1...100)
            try await rig.createGroup()
            _ = try await rig.read(90)
            try await rig.redis("XTRIM", rig.keys().events, "MAXLEN", 50)
            try await rig.redis("XDEL", rig.keys().events, "95-0", "60-0")
            let rewind = try await Self.rewind(rig, to: .start)
            let moves = try await rewind.plan()
            #expect(moves[0].readAgain == 39 && moves[0].passedOver == 0)
            try await rewind.run(moves)
            #expect(try await rig.broker.groupReports()[0].waiting == 48)
            #expect(try await rig.read(1000).count == 48)
        }
    }

    @Test func `a group that holds entries is not moved, and hears how many and what to do`() async throws {
        try await Rig.with { rig in
            try await rig.publish(1...10)
            try await rig.publish(1...10, partition: 1)
            try await rig.createGroup(partitions: 2)
            _ = try await rig.read(3)
            let rewind = try await Self.rewind(rig, to: .start)
            let moves = try await rewind.plan()
            _ = try await rig.read(2, acknowledging: false)
            _ = try await rig.read(4, acknowledging: false, partition: 1)
            let planned = await #expect(throws: FreshetError.self) { try await rewind.plan() }
            #expect(planned?.code == .refused)
            #expect(planned?.message.contains("holds 6 events of 'orders'") == true)
            #expect(planned?.message.contains("stop its workers") == true)
            let moved = await #expect(throws: FreshetError.self) { try await rewind.run(moves) }
            #expect(moved?.message.contains("holds 2 events") == true, "taken since the plan")
            #expect(try await Self.group(rig, "last-delivered-id")?.string == "5-0")
        }
    }

    @Test func `a group that has read on since the plan is not moved`() async throws {
        try await Rig.with { rig in
            try await rig.publish(1...10)
            try await rig.createGroup()
            let rewind = try await Self.rewind(rig, to: .end)
            let moves = try await rewind.plan()
            _ = try await rig.read(1)
            let error = await #expect(throws: FreshetError.self) { try await rewind.run(moves) }
            #expect(error?.code == .refused && error?.message.contains("in the meantime") == true)
            #expect(try await Self.group(rig, "last-delivered-id")?.string == "1-0")
        }
    }

    @Test func `partitions move together, or one alone`() async throws {
        try await Rig.with { rig in
            try await rig.publish(1...10)
            try await rig.publish(6...20, partition: 1)
            try await rig.createGroup(partitions: 2)
            for partition in 0..<2 { _ = try await rig.read(100, partition: partition) }
            let both = try await Self.rewind(rig, to: .id(id(8)))
            var done: [Int] = []
            let moves = try await both.plan()
            #expect(moves.map(\.readAgain) == [3, 13])
            try await both.run(moves) { done.append($0.partition) }
            #expect(done == [0, 1])
            let one = try await Self.rewind(rig, to: .start, partition: 1)
            try await one.run(try await one.plan())
            #expect(try await rig.read(100) == (8...10).map { id($0) })
            #expect(try await rig.read(100, partition: 1) == (6...20).map { id($0) })
            let error = await #expect(throws: FreshetError.self) {
                try await Self.rewind(rig, to: .start, partition: 2)
            }
            #expect(error?.code == .notFound)
        }
    }

    @Test func `a group is made again from where it was rewound to, if it vanishes on the way`() async throws
    {
        try await Rig.with { rig in
            try await rig.publish(1...10)
            try await rig.createGroup()
            _ = try await rig.read(10)
            let field = "start:payment:0"
            try await rig.redis("HSET", "test:topic:{orders}", "partitions", 1, field, "6-0")
            func start() async throws -> String? {
                try await rig.redis("HGET", "test:topic:{orders}", field).string
            }
            for (target, expected) in [
                (ReplayPoint.id(id(9)), "6-0"), (.id(id(3)), "2-18446744073709551615"),
                (.end, "2-18446744073709551615"),
            ] {
                let rewind = try await Self.rewind(rig, to: target)
                try await rewind.run(try await rewind.plan())
                #expect(try await start() == expected, "\(target)")
            }
            try await rig.redis("XGROUP", "DESTROY", rig.keys().events, "payment")
            let error = await #expect(throws: FreshetError.self) {
                try await Self.rewind(rig, to: .start).plan()
            }
            #expect(error?.code == .notFound)
        }
    }

    @Test func `a reader that waits for new events is woken`() async throws {
        try await Rig.with { rig in
            try await rig.publish(1...10)
            try await rig.createGroup()
            _ = try await rig.read(10)
            let reader = rig.client.dedicated(clientName: "test:payment:c-1")
            let stranger = rig.client.dedicated(clientName: "test:payments:c-1")
            defer {
                reader.close()
                stranger.close()
            }
            let reading = Task {
                try await reader.send(
                    RedisCommand(
                        "XREADGROUP", "GROUP", "payment", "c", "BLOCK", 60_000, "STREAMS", rig.keys().events,
                        ">"),
                    timeout: .seconds(90))
            }
            let waiting = Task {
                try await stranger.send(RedisCommand("BLPOP", "none", 60), timeout: .seconds(90))
            }
            try await eventually("both wait") { try await Self.blockedClients(rig) == 2 }
            let started = ContinuousClock.now
            let rewind = try await Self.rewind(rig, to: .id(id(5)))
            #expect(try await rewind.run(try await rewind.plan()) == 1)
            let reply = try await reading.value
            #expect(reply.isNull)
            #expect(ContinuousClock.now - started < .seconds(30))
            #expect(try await Self.blockedClients(rig) == 1, "another group's reader goes on waiting")
            waiting.cancel()
        }
    }

    @Test func `a running, idle subscription reads again from there`() async throws {
        struct Odd: EventPayload {
            static let eventType: EventType = "odd"
        }
        try await Rig.with { rig in
            try await rig.publish(1...9)
            let seen = Mutex<[StreamID]>([])
            let subscription = Subscription(to: Topic("orders"), group: "payment", on: rig.broker) {
                On(Odd.self) { _, delivery in seen.withLock { $0.append(delivery.position) } }
            }
            try await running(subscription) {
                try await eventually("it has read") { seen.withLock { $0.count } == 5 }
                try await eventually("all is settled") {
                    try await rig.broker.groupReports()[0].isSettled
                }
                let rewind = try await Self.rewind(rig, to: .id(id(4)))
                try await rewind.run(try await rewind.plan())
                try await eventually("it has read again") { seen.withLock { $0.count } == 8 }
                #expect(seen.withLock { $0.suffix(3) } == [5, 7, 9].map { id($0) })
                try await eventually("all is settled again") {
                    try await rig.broker.groupReports()[0].isSettled
                }
            }
        }
    }

    @Test func `a user who may not wake readers can rewind all the same`() async throws {
        let server = LocalRedisServer(options: [
            "--user", "tool", "on", ">s3cret", "~*", "&*", "+@all", "-client|list", "-client|unblock",
        ])
        try await Rig.with(server) { rig in
            try await rig.publish(1...10)
            try await rig.createGroup()
            _ = try await rig.read(10)
            var configuration = try RedisConfiguration(url: server.url)
            (configuration.user, configuration.password) = ("tool", "s3cret")
            let client = RedisClient(configuration)
            defer { client.close() }
            let rewind = try await Rewind(
                topic: "orders", group: "payment", to: .start, on: Broker(client, namespace: "test"))
            #expect(try await rewind.run(try await rewind.plan()) == 0)
            #expect(try await rig.read(100).count == 10)
        }
    }

    /// Clients that wait in a blocking command, by the server's own count.
    private static func blockedClients(_ rig: Rig) async throws -> Int {
        let info = try await rig.redis("INFO", "clients").string ?? ""
        let line = info.split(whereSeparator: \.isNewline).first { $0.hasPrefix("blocked_clients:") }
        return line.flatMap { Int($0.dropFirst("blocked_clients:".count)) } ?? 0
    }
}
