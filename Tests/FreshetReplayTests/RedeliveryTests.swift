import Freshet
import FreshetReplay
import FreshetTesting
import Hiredis
import Synchronization
import Testing

@Suite struct RedeliveryTests {
    @Test func `every field goes along byte for byte and in order, delivery's own names excepted`()
        async throws
    {
        try await Rig.with { rig in
            let raw: [UInt8] = [0xff, 0x00, 0x0d, 0x0a, 0xc3]
            try await rig.createGroup()
            try await rig.redis(
                "XADD", rig.keys().events, "5-3", "data", raw, "id", "1", "colour", "blå", "colour", "",
                "freshetreplay", "forged", "freshetattempt", "99", raw, "name", "type", "odd")
            let redelivery = try await rig.redeliver()
            #expect(try await rig.run(redelivery) == 1)
            for try await entry in rig.broker.entries(of: rig.redelivery()) {
                let expected: [[UInt8]] = [
                    Array("data".utf8), raw, Array("id".utf8), Array("1".utf8), Array("colour".utf8),
                    Array("blå".utf8), Array("colour".utf8), [], raw, Array("name".utf8),
                    Array("type".utf8), Array("odd".utf8), Array("freshetoriginalid".utf8),
                    Array("5-3".utf8), Array("freshetreplay".utf8), Array(redelivery.id.utf8),
                ]
                #expect(entry.fields.map { $0.bytes?.array ?? [] } == expected)
            }
        }
    }

    @Test func `what runs is what was surveyed: both ends belong to it, and nothing that came later`()
        async throws
    {
        try await Rig.with { rig in
            try await rig.publish(1...1000)
            try await rig.createGroup()
            _ = try await rig.read(400)
            let all = try await rig.redeliver()
            try await rig.publish(2000...2010)
            let survey = all.selected
            #expect(survey.count == 1000 && survey.types == ["even": 500, "odd": 500])
            #expect(survey.first == id(1) && survey.last == id(1000) && survey.ahead == 600)
            let progress = Record<Int>()
            let count = try await rig.run(all) { now in
                progress.add(now.done)
                return true
            }
            #expect(count == 1000)
            #expect(progress.all == progress.all.sorted() && progress.all.last == 1000)
            #expect(try await rig.ids(rig.redelivery()) == (1...1000).map { id($0) })
            let part = try await rig.redeliver(from: .id(id(3)), to: .id(id(5)))
            #expect(part.selected.count == 3)
            #expect(try await rig.run(part) == 3)
            let time = { (milliseconds: Int64) in ReplayPoint.time(Timestamp(milliseconds: milliseconds)) }
            #expect(try await rig.redeliver(from: time(998), to: time(2003)).selected.count == 7)
        }
    }

    @Test func `types and keys narrow the selection`() async throws {
        try await Rig.with { rig in
            try await rig.publish(1...12)
            try await rig.createGroup()
            try await rig.redis("XADD", rig.keys().events, "13-0", "id", "no type", "partitionkey", "k1")
            #expect(try await rig.redeliver(types: ["odd"]).selected.types == ["odd": 6])
            #expect(try await rig.redeliver(types: ["odd", "even"]).selected.count == 12)
            #expect(try await rig.redeliver(types: ["other"]).selected.count == 0)
            #expect(try await rig.redeliver(keys: ["k1"]).selected.types == ["odd": 2, "even": 2, "": 1])
            #expect(try await rig.run(rig.redeliver(types: ["odd"], keys: ["k0", "k2"])) == 4)
            #expect(try await rig.ids(rig.redelivery()) == [3, 5, 9, 11].map { id($0) })
        }
    }

    @Test func `partitions keep their own order and streams`() async throws {
        try await Rig.with { rig in
            try await rig.publish(1...300)
            try await rig.publish(5...600, partition: 1)
            try await rig.createGroup(partitions: 2)
            let redelivery = try await rig.redeliver(from: .id(id(200)))
            let survey = redelivery.selected
            #expect(survey.first == id(200) && survey.last == id(600) && survey.count == 101 + 401)
            #expect(try await rig.run(redelivery) == 502)
            #expect(try await rig.ids(rig.redelivery(0)) == (200...300).map { id($0) })
            #expect(try await rig.ids(rig.redelivery(1)) == (200...600).map { id($0) })
        }
    }

    @Test func `nothing in the range is nothing to do`() async throws {
        try await Rig.with { rig in
            try await rig.publish(1...10)
            try await rig.createGroup()
            for (from, to) in [
                (ReplayPoint.id(id(11)), .end), (.end, .end), (.start, .start),
            ]
                as [(ReplayPoint, ReplayPoint)]
            {
                let redelivery = try await rig.redeliver(from: from, to: to)
                let survey = redelivery.selected
                #expect(survey.count == 0 && survey.first == nil && survey.last == nil)
                #expect(try await rig.run(redelivery) == 0)
            }
            #expect(try await rig.redis("XLEN", rig.redelivery()).integer == 0)
            let backwards = await #expect(throws: FreshetError.self) {
                try await rig.redeliver(from: .id(id(5)), to: .id(id(4)))
            }
            #expect(backwards?.code == .refused)
        }
    }

    @Test func `a topic or group that does not exist is named, with those that do`() async throws {
        try await Rig.with { rig in
            try await rig.publish(1...2)
            try await rig.createGroup()
            func error(_ topic: TopicName, _ group: GroupName) async -> FreshetError? {
                await #expect(throws: FreshetError.self) {
                    try await rig.broker.plan(ReplayRequest(topic: topic, to: .group(group)))
                }
            }
            let topic = await error("order", "payment")
            #expect(topic?.code == .notFound)
            #expect(topic?.message.contains("'order'") == true && topic?.message.contains("orders") == true)
            let group = await error("orders", "pay")
            #expect(group?.message.contains("'pay'") == true && group?.message.contains("payment") == true)
            #expect(try await rig.redis("EXISTS", rig.keys().redelivery("pay")).integer == 0)
        }
    }

    @Test func `the group's handlers see it as a replay, and only they see it`() async throws {
        struct Odd: EventPayload {
            static let eventType: EventType = "odd"
            let number: Int
        }
        try await Rig.with { rig in
            try await rig.publish(1...9)
            let seen = Mutex<[Delivery]>([])
            let others = Mutex(0)
            let subscription = Subscription(to: Topic("orders"), group: "payment", on: rig.broker) {
                On(Odd.self) { _, delivery in seen.withLock { $0.append(delivery) } }
            }
            let other = Subscription(to: Topic("orders"), group: "shipping", on: rig.broker) {
                On(Odd.self) { _, _ in others.withLock { $0 += 1 } }
            }
            try await running(subscription) {
                try await running(other) {
                    try await eventually("both have read") {
                        seen.withLock { $0.count } == 5 && others.withLock { $0 } == 5
                    }
                    let redelivery = try await rig.redeliver(types: ["odd"])
                    #expect(try await rig.run(redelivery) == 5)
                    try await eventually("it has read again") { seen.withLock { $0.count } == 10 }
                    try await eventually("nothing is left") {
                        try await rig.broker.groupReports().allSatisfy(\.isSettled)
                    }
                    let again = seen.withLock { $0.suffix(5) }
                    #expect(again.map(\.position) == [1, 3, 5, 7, 9].map { id($0) })
                    #expect(
                        again.allSatisfy {
                            $0.isReplay && $0.replay?.id == redelivery.id && $0.replay?.mode == .redeliver
                        })
                    #expect(seen.withLock { $0.prefix(5).allSatisfy { !$0.isReplay } })
                    #expect(others.withLock { $0 } == 5)
                }
            }
        }
    }
}
