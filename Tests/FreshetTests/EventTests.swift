import Freshet
import Hiredis
import Testing

@Suite struct EventTests {
    @Test func `an event is written with the fields of the map, in their order`() async throws {
        try await Rig.with { rig in
            var event = try Event(
                Placed(orderId: "ö-1"), source: "till", id: "e1",
                time: Timestamp(milliseconds: 1_767_323_045_678), key: "k")
            event.subject = "s"
            event.causationID = "c"
            event.traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
            try await Publisher(to: .orders, on: rig.broker).publish(event)
            let entry = try await rig.client.send(RedisCommand("XRANGE", rig.keys.events, "-", "+")).array?[0]
                .array
            #expect(
                entry?[1].array?.compactMap(\.string) == [
                    "specversion", "1.0", "id", "e1", "source", "till", "type", "order.placed",
                    "schemaversion", "1",
                    "time", "2026-01-02T03:04:05.678Z", "datacontenttype", "application/json", "subject", "s",
                    "partitionkey", "k", "correlationid", "e1", "causationid", "c", "traceparent",
                    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "data", #"{"orderId":"ö-1"}"#,
                ])
        }
    }

    @Test func `a batch goes in order and each event has its own outcome`() async throws {
        try await Rig.with { rig in
            let topic = Topic("spread", partitions: 4)
            let publisher = Publisher(to: topic, on: rig.broker)
            let events = try (0..<40).map {
                try Event(Placed(orderId: "\($0)"), source: "till", id: "\($0)", key: "key-\($0 % 5)")
            }
            try await rig.client.send(
                RedisCommand(
                    "SET", rig.broker.keys("spread", topic.partition(ofKey: "key-0")).events, "no stream"))
            let results = try await publisher.publish(events)
            let blocked = topic.partition(ofKey: "key-0")
            for (event, result) in zip(events, results) {
                let isBlocked = topic.partition(ofKey: event.partitionKey ?? "") == blocked
                switch result {
                case .success: #expect(!isBlocked)
                case .failure(let error):
                    #expect(isBlocked && error.cause?.serverCode == "WRONGTYPE" && !error.isRetryable)
                }
            }
            for partition in 0..<4 where partition != blocked {
                let stored = try await rig.entries(rig.broker.keys("spread", partition).events)
                    .compactMap { $0["id"].map { String(decoding: $0, as: UTF8.self) } }
                let expected = events.filter { topic.partition(ofKey: $0.partitionKey ?? "") == partition }
                    .map(\.id)
                #expect(stored == expected)
            }
        }
    }

    @Test func `a partition is the key's CRC-16 modulo the partitions, as in Redis Cluster`() {
        // CRC-16/XMODEM of "123456789" is 0x31C3, https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/
        #expect(Topic("t", partitions: 65_536).partition(ofKey: "123456789") == 0x31C3)
        #expect(Topic("t", partitions: 16_384).partition(ofKey: "foo") == 12_182)  // CLUSTER KEYSLOT foo
        #expect(Topic("t").partition(ofKey: "123456789") == 0)
    }

    @Test(
        arguments: [
            ("1970-01-01T00:00:00Z", 0), ("2026-01-02T03:04:05.678Z", 1_767_323_045_678),
            ("2024-02-29T23:59:59.999Z", 1_709_251_199_999), ("1969-12-31T23:59:59.999Z", -1),
            ("2026-01-02T05:04:05.678+02:00", 1_767_323_045_678),
            ("2026-01-02t03:04:05.6789999z", 1_767_323_045_678),
            ("2026-01-02T03:04:05Z", 1_767_323_045_000),
        ] as [(String, Int64)])
    func `times are read as RFC 3339`(text: String, milliseconds: Int64) throws {
        let time = try #require(Timestamp(text))
        #expect(time.milliseconds == milliseconds)
        #expect(Timestamp(time.description) == time)
    }

    @Test(arguments: [
        "", "2026", "2026-13-01T00:00:00Z", "2026-02-29T00:00:00Z", "2026-01-01T24:00:00Z",
        "2026-01-01T00:00:00",
        "2026-01-01T00:00:00.Z", "2026-01-01T00:00:00Zx", "2026-01-01T00:00:00+2:00",
    ])
    func `what is no time is none`(text: String) { #expect(Timestamp(text) == nil) }

    @Test func `made ids are version 7 UUIDs that sort by time`() {
        let ids = (0..<100).map {
            EventID.make(at: Timestamp(milliseconds: 1_700_000_000_000 + Int64($0) * 10))
        }
        #expect(ids == ids.sorted() && Set(ids).count == 100)
        #expect(
            ids.allSatisfy { id in
                let parts = id.split(separator: "-")
                return parts.map(\.count) == [8, 4, 4, 4, 12] && parts[2].first == "7"
                    && "89ab".contains(parts[3].first ?? "x")
            })
    }

    @Test func `names from outside are checked`() {
        for text in ["", "a b", "{a}", "a:b", "a/b", "ä", String(repeating: "a", count: 129)] {
            #expect(throws: FreshetError.self) { try TopicName(checking: text) }
        }
        #expect(throws: Never.self) { try TopicName(checking: "orders.v2_x-1") }
    }

    @Test func `a story goes on from its cause`() throws {
        let first = try Event(Placed(orderId: "1"), source: "a", id: "first")
        let second = try Event(Placed(orderId: "1"), source: "b", causedBy: first)
        let third = try Event(Placed(orderId: "1"), source: "c", causedBy: second)
        #expect(third.correlationID == "first" && third.causationID == second.id)
    }
}
