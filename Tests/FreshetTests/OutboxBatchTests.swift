import Freshet
import FreshetTesting
import Hiredis
import Testing

/// What an outbox publishes in one step, and the mark that a log keeps of it.
@Suite struct OutboxBatchTests {
    private static let topic = Topic("notes")

    private struct Rig {
        let server: LocalRedisServer
        let broker: Broker
        let publisher: Publisher
        var keys: PartitionKeys { broker.keys("notes", 0) }

        static func with(_ body: (Rig) async throws -> Void) async throws {
            try await withRedisServer { server in
                let client = RedisClient(try RedisConfiguration(url: server.url))
                defer { client.close() }
                let broker = Broker(client, namespace: "test")
                try await body(
                    Rig(server: server, broker: broker, publisher: Publisher(to: topic, on: broker)))
            }
        }

        /// Publishes these as the batch of this mark; returns how many were taken, or the mark that the log
        /// has.
        func publish(_ ids: [String], _ mark: Int64, after previous: Int64, at time: Timestamp? = nil)
            async throws -> (taken: Int?, mark: Int64?)
        {
            let batch = OutboxBatch(
                outbox: "o", partition: 0, mark: mark, previous: previous,
                events: ids.map { id in
                    (Event(id: id, source: "test", type: "note.taken", data: "{}"), time)
                })
            switch try await publisher.publish(batch) {
            case .published(let positions): return (positions.count, nil)
            case .refused(let mark): return (nil, mark)
            }
        }

        func mark(of outbox: String) async throws -> Int64 { try await publisher.mark(of: outbox, 0) }

        func log() async throws -> [String] {
            try await broker.client.send(.xrange(keys.events)).compactMap { $0.field("id")?.string }
        }
    }

    @Test func `a server that lacks the batch before takes none after it`() async throws {
        try await Rig.with { rig async throws in
            #expect(try await rig.publish(["1"], 1, after: 0).taken == 1)
            try await rig.broker.client.send(RedisCommand("SAVE"))
            #expect(try await rig.publish(["2"], 2, after: 1).taken == 1)
            await rig.server.kill()
            try await rig.server.start()
            let refused = try await rig.publish(["3"], 3, after: 2)
            #expect(refused.taken == nil && refused.mark == 1)
            #expect(try await rig.log() == ["1"])
            // What it lacks first, then the rest.
            #expect(try await rig.publish(["2"], 4, after: 1).taken == 1)
            #expect(try await rig.publish(["3"], 5, after: 4).taken == 1)
            #expect(try await rig.log() == ["1", "2", "3"])
        }
    }

    @Test func `a batch that comes late adds nothing behind a later one`() async throws {
        try await Rig.with { rig async throws in
            #expect(try await rig.publish(["1", "2"], 2, after: 0).taken == 2)
            for mark: Int64 in [1, 2] { #expect(try await rig.publish(["1"], mark, after: 0).mark == 2) }
            #expect(try await rig.log() == ["1", "2"])
            #expect(try await rig.mark(of: "other") == 0, "another outbox has its own")
        }
    }

    @Test func `a mark is that of its log: it is nothing when someone removes the log`() async throws {
        try await Rig.with { rig async throws in
            let far = Timestamp(milliseconds: Timestamp.now().milliseconds + 3_600_000)
            #expect(try await rig.publish(["later"], 1, after: 0, at: far).taken == 1)
            #expect(try await rig.mark(of: "o") == 1, "there need be no log for what waits")
            #expect(try await rig.publish(["1"], 2, after: 1).taken == 1)
            try await rig.broker.client.send(RedisCommand("XTRIM", rig.keys.events, "MAXLEN", 0))
            #expect(try await rig.mark(of: "o") == 2, "what was trimmed was there")
            try await rig.broker.client.send(RedisCommand("DEL", rig.keys.events))
            #expect(try await rig.mark(of: "o") == 0)
        }
    }
}
