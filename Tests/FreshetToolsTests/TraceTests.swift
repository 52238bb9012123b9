import Freshet
import FreshetTesting
import Hiredis
import Testing

/// `freshet trace`: a story with a retry, a dead letter, a wait and a gap.
@Suite struct TraceTests {
    private static func fields(_ id: String, _ type: String, cause: String? = nil, _ more: [String] = [])
        -> [String]
    {
        [
            "specversion", "1.0", "id", id, "source", "till", "type", type, "partitionkey", "k-1",
            "correlationid",
            "o-1",
        ] + (cause.map { ["causationid", $0] } ?? []) + ["data", #"{"orderId":"order-17"}"#] + more
    }

    /// Six events of one story, two of another, for two groups.
    private static func tell(_ rig: Rig) async throws {
        func add(_ key: String, _ position: String, _ fields: [String]) async throws {
            let arguments: [any RedisArgument] = ["XADD", key, position] + fields
            try await rig.client.send(RedisCommand(arguments: arguments))
        }
        let (orders, payments) = ("test:events:{orders:0}", "test:events:{payments:0}")
        try await add(orders, "1000-0", fields("o-1", "order.placed"))
        try await add(
            orders, "1001-0", ["specversion", "1.0", "id", "other", "source", "till", "type", "order.placed"])
        try await add(payments, "1250-0", fields("p-1", "payment.captured", cause: "o-1"))
        try await add(orders, "9250-0", fields("c-1", "order.confirmed", cause: "p-1"))
        try await add(payments, "9300-0", fields("p-2", "payment.noted", cause: "c-1"))
        try await add(payments, "9500-0", fields("r-1", "refund.issued", cause: "gone"))
        for (log, group) in [(orders, "order"), (orders, "payment"), (payments, "order")] {
            try await rig.redis("XGROUP", "CREATE", log, group, "0")
            try await rig.redis("XREADGROUP", "GROUP", group, "w1", "COUNT", 2, "STREAMS", log, ">")
        }
        try await rig.redis("XREADGROUP", "GROUP", "order", "w1", "COUNT", 1, "STREAMS", payments, ">")
        try await rig.redis("XACK", orders, "order", "1000-0", "1001-0")
        try await rig.redis("XACK", orders, "payment", "1000-0", "1001-0")
        try await rig.redis("XACK", payments, "order", "1250-0", "9300-0")
        try await add(
            "test:dead:{orders:0}:payment", "9000-0",
            fields(
                "o-1", "order.placed",
                [
                    "freshetoriginalid", "1000-0", "freshetattempt", "5", "freshetreason", "no answer",
                    "freshetfailedat",
                    "1970-01-01T00:00:09.000Z",
                ]))
        try await rig.redis(
            "EVAL",
            "redis.call('ZADD', KEYS[1], 4102444800000, '1250-0 ' .. cmsgpack.pack(ARGV))", 1,
            "test:delayed:{payments:0}:order", "id", "p-1", "source", "till", "type", "payment.captured",
            "freshetoriginalid", "1250-0", "freshetattempt", "2", "freshetreason", "busy")
    }

    private static let story = [
        "ADDED                     AFTER   EVENT                PLACE       ID   GROUPS",
        "1970-01-01T00:00:01.000Z  -       order.placed         orders/0    o-1  order settled, payment dead, 5 failed",
        "1970-01-01T00:00:01.250Z  +250ms  └ payment.captured   payments/0  p-1  order delayed, 2 failed",
        "1970-01-01T00:00:09.250Z  +8.0s     └ order.confirmed  orders/0    c-1  order waiting, payment waiting",
        "1970-01-01T00:00:09.300Z  +50ms       └ payment.noted  payments/0  p-2  order settled",
        "1970-01-01T00:00:09.500Z  -       refund.issued        payments/0  r-1  order pending",
        "open: payment has not settled order.placed o-1: dead, 5 attempts failed, given up at 1970-01-01T00:00:09.000Z: no answer",
        "open: order has not settled payment.captured p-1: delayed, 2 attempts failed, comes again at 2100-01-01T00:00:00.000Z: busy",
        "wait: order.confirmed c-1 came 8.0s after its cause",
        "open: order has not settled order.confirmed c-1: waiting",
        "open: payment has not settled order.confirmed c-1: waiting",
        "gap: gone, the cause of refund.issued r-1, is not there",
    ]

    @Test(arguments: ["o-1", "k-1", "p-2", "order-17"])
    func `a story is told in causal order, with what is open, waits and gaps, whatever names it`(what: String)
        async throws
    {
        try await Rig.with { rig in
            try await Self.tell(rig)
            let outcome = try await rig.run("freshet", "trace", what, "--since", "start")
            #expect(outcome.exitCode == 0, "\(outcome.errors)")
            let lines = outcome.lines.map(String.init)
            #expect(lines.dropLast() == Self.story[...], "\(outcome.output)")
            let last = try #require(lines.last)
            #expect(last.hasPrefix("open: order has not settled refund.issued r-1: pending at w1 for "))
            #expect(last.hasSuffix(", delivered once"))
        }
    }

    @Test func `as JSON it says all of it, for programs`() async throws {
        struct Document: Decodable {
            struct Event: Decodable {
                struct State: Decodable { let group, kind: String }
                let id, topic, addedAt: String
                let depth: Int
                let secondsAfterCause: Double?
                let lacksCause, isLongWait: Bool
                let groups: [State]
            }
            struct Note: Decodable { let kind, event: String }
            let events: [Event]
            let notes: [Note]
        }
        try await Rig.with { rig in
            try await Self.tell(rig)
            let outcome = try await rig.run("freshet", "trace", "o-1", "--since", "start", "--format", "json")
            let document = try outcome.json(Document.self)
            #expect(document.events.map(\.id) == ["o-1", "p-1", "c-1", "p-2", "r-1"])
            #expect(document.events.map(\.depth) == [0, 1, 2, 3, 0])
            #expect(document.events.map(\.secondsAfterCause) == [nil, 0.25, 8, 0.05, nil])
            #expect(document.events.map(\.lacksCause) == [false, false, false, false, true])
            #expect(document.events.map(\.isLongWait) == [false, false, true, false, false])
            #expect(
                document.events[0].groups.map { "\($0.group) \($0.kind)" } == [
                    "order settled", "payment dead",
                ])
            #expect(document.notes.map(\.kind) == ["open", "open", "wait", "open", "open", "gap", "open"])
            let lines = try await rig.run("freshet", "trace", "o-1", "--since", "start", "--format", "ndjson")
                .lines
            #expect(lines.count == 5 && lines.allSatisfy { $0.hasPrefix("{") })
        }
    }

    @Test func `what is not there is not found, and is found further back`() async throws {
        try await Rig.with { rig in
            try await Self.tell(rig)
            let recent = try await rig.run("freshet", "trace", "o-1")
            #expect(recent.exitCode == 1 && recent.output.isEmpty)
            #expect(recent.errors.contains("no event of 'o-1' in the namespace 'test' since "))
            let other = try await rig.run("freshet", "trace", "nobody", "--since", "start")
            #expect(other.exitCode == 1)
            let lonely = try await rig.run("freshet", "trace", "other", "--since", "start")
            #expect(lonely.exitCode == 0 && lonely.lines.count == 2)
            let topic = try await rig.run(
                "freshet", "trace", "o-1", "--since", "start", "--topic", "payments")
            #expect(topic.output.contains("gap: the story's first event o-1 is not there"))
            #expect(topic.exitCode == 0 && !topic.output.contains("order.placed"))
            #expect(try await rig.run("freshet", "trace", "o-1", "--topic", "none").exitCode == 1)
            #expect(try await rig.run("freshet", "trace", "").exitCode == 64)
        }
    }

    @Test func `a key is looked for in its own partition, and an id of today says since when`() async throws {
        try await Rig.with { rig in
            let orders = Topic("orders", partitions: 4)
            try await rig.broker.declare(TopicDeclaration(orders, groups: [GroupDeclaration("order")]))
            let publisher = Publisher(to: orders, on: rig.broker)
            var ids: [String] = []
            for number in 0..<20 {
                let event = Event(
                    source: "till", type: "order.placed", partitionKey: "k\(number)", data: "{}")
                let next = Event(
                    source: "till", type: "order.noted", partitionKey: "other-\(number)",
                    correlationID: event.id,
                    causationID: event.id, data: "{}")
                for event in [event, next] { try await publisher.publish(event) }
                ids.append(event.id)
            }
            let whole = try await rig.run("freshet", "trace", "k7")
            #expect(whole.lines.count == 5 && whole.lines.dropFirst().first?.contains(ids[7]) == true)
            // In the partition of the key alone the second event is not, unless both have the same.
            let same = orders.partition(ofKey: "k7") == orders.partition(ofKey: "other-7")
            let own = try await rig.run("freshet", "trace", "k7", "--same-key")
            #expect(own.lines.count == (same ? 5 : 3), "\(own.output)")
            #expect(try await rig.run("freshet", "trace", ids[3], "--format", "ndjson").lines.count == 2)
        }
    }
}
