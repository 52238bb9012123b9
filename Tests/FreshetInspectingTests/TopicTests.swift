import Freshet
import FreshetTesting
import Hiredis
import Testing

@Suite struct TopicTests {
    @Test func `topics are those that were declared and those that only have events`() async throws {
        try await Rig.with { rig in
            try await rig.redis("HSET", "test:topic:{declared}", "partitions", 4)
            try await rig.fill(rig.log("bare", 2), [1])
            try await rig.fill(rig.log("declared", 5), [1])
            try await rig.fill("other:events:{foreign:0}", [1])
            try await rig.fill("test:events:{odd:9223372036854775807}", [1])
            try await rig.fill("test:events:{no-number}", [1])
            try await rig.redis("XADD", "test:redelivery:{hidden:0}:g", "*", "a", "b")
            #expect(
                try await rig.broker.topics() == [
                    Topic("bare", partitions: 3), Topic("declared", partitions: 6),
                ])
            #expect(try await rig.broker.topic(named: "bare") == Topic("bare", partitions: 3))
            #expect(try await rig.broker.topic(named: "hidden") == nil)
        }
    }

    @Test func `a topic by name has all partitions that have events`() async throws {
        try await Rig.with { rig in
            try await rig.fill(rig.log("bare", 0), [1])
            try await rig.fill(rig.log("bare", 1), [1])
            #expect(try await rig.broker.topic(named: "bare") == Topic("bare", partitions: 2))
            try await rig.redis("HSET", "test:topic:{quiet}", "partitions", 3)
            #expect(try await rig.broker.topic(named: "quiet") == Topic("quiet", partitions: 3))
        }
    }

    @Test func `all are found among many keys`() async throws {
        try await Rig.with { rig in
            var pipeline = RedisPipeline()
            for number in 0..<5000 { pipeline.append("SET", "filler:\(number)", "x") }
            for number in 0..<50 { pipeline.append("XADD", "test:events:{t\(number):0}", "*", "a", "b") }
            for reply in try await rig.client.send(pipeline) { try reply.get() }
            #expect(try await rig.broker.topics().count == 50)
        }
    }

    @Test func `groups are those that exist on any partition and those that were declared`() async throws {
        try await Rig.with { rig in
            try await rig.redis("XGROUP", "CREATE", rig.log("orders", 1), "second", "0", "MKSTREAM")
            try await rig.redis("XGROUP", "CREATE", rig.log("orders", 1), "any name: works", "0")
            try await rig.redis(
                "HSET", "test:topic:{orders}", "partitions", 2, "start:gone:0", "0-0", "retention", "1")
            let topic = try await rig.broker.existingTopic("orders")
            #expect(
                try await rig.broker.groups(of: topic).map(\.rawValue) == [
                    "any name: works", "gone", "second",
                ])
        }
    }

    @Test func `a name that does not exist is an error that lists those that do`() async throws {
        try await Rig.with { rig in
            let none = await #expect(throws: FreshetError.self) { try await rig.broker.existingTopic("a") }
            #expect(none?.code == .notFound)
            #expect(none?.message == "no topic 'a' in the namespace 'test' (there are: none)")
            try await rig.redis("XGROUP", "CREATE", rig.log("orders"), "payment", "0", "MKSTREAM")
            try await rig.redis("XGROUP", "CREATE", rig.log("customers"), "shipping", "0", "MKSTREAM")
            let topic = await #expect(throws: FreshetError.self) {
                try await rig.broker.existingTopic("order", readBy: "payment")
            }
            #expect(
                topic?.message == "no topic 'order' in the namespace 'test' (there are: customers, orders)")
            let group = await #expect(throws: FreshetError.self) {
                try await rig.broker.existingTopic("orders", readBy: "pay")
            }
            #expect(group?.message == "no group 'pay' on 'orders' (there are: payment)")
        }
    }

    @Test func `the server's clock is the server's`() async throws {
        try await Rig.with { rig in
            let before = try #require(StreamID(try await rig.redis("XADD", "s", "*", "a", "b").string ?? ""))
            let time = try await rig.broker.serverTime()
            let after = try #require(StreamID(try await rig.redis("XADD", "s", "*", "a", "b").string ?? ""))
            #expect((before.milliseconds...after.milliseconds).contains(UInt64(time.milliseconds)))
        }
    }
}
