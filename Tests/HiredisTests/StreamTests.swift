import Foundation
import FreshetTesting
import Hiredis
import Testing

/// The typed commands, each on a real server.
@Suite struct StreamTests {
    private func id(_ number: UInt64) -> StreamID { StreamID(milliseconds: number, sequence: 0) }

    /// A stream `s` of entries 1-0 to so many, each with a field `n`.
    private func fill(_ client: RedisClient, _ count: UInt64) async throws {
        for number in 1...count {
            try await client.send(.xadd("s", id: id(number), ["n": "\(number)"]))
        }
    }

    @Test func `entries are added, counted, read both ways and cut off`() async throws {
        try await withServer { _, client in
            let payload: [UInt8] = [0, 255, 13, 10]
            let first = try await client.send(
                .xadd("s", ["type": "order.placed", "data": payload, "data": "twice"]))
            let now = UInt64(Date().timeIntervalSince1970 * 1000)
            #expect(first.milliseconds > now - 60_000 && first.milliseconds < now + 60_000)
            let entry = try #require(try await client.send(.xrange("s")).first)
            #expect(entry.id == first && !entry.isDeleted && entry.byteCount == 4 + 12 + 4 + 4 + 4 + 5)
            #expect(entry.fields.map(\.bytes?.array)[3] == payload, "bytes as they are, in order")
            #expect(entry.field("data")?.string == "twice" && entry.field("dat") == nil)
            try await client.send(RedisCommand("DEL", "s"))

            try await fill(client, 10)
            let numbers = { (entries: [StreamEntry]) in entries.map { $0.field("n")?.integer ?? 0 } }
            #expect(try await client.send(.xlen("s")) == 10)
            #expect(numbers(try await client.send(.xrange("s", id(3)...id(5)))) == [3, 4, 5])
            #expect(numbers(try await client.send(.xrange("s", count: 2))) == [1, 2])
            #expect(numbers(try await client.send(.xrevrange("s", id(3)...id(5)))) == [5, 4, 3])
            #expect(numbers(try await client.send(.xrevrange("s", count: 2))) == [10, 9])
            let behind = try #require(id(9).successor)
            #expect(numbers(try await client.send(.xrange("s", behind ... .newest))) == [10])
            #expect(try await client.send(.xdel("s", [id(1), id(2), id(99)])) == 2)
            #expect(try await client.send(.xtrim("s", .before(id(5)))) == 2)
            #expect(try await client.send(.xtrim("s", .keeping(4))) == 2)
            #expect(try await client.send(.xtrim("s", .keeping(2).approximately())) == 0, "less than a node")
            #expect(numbers(try await client.send(.xrange("s"))) == [7, 8, 9, 10])
            try await client.send(.xadd("s", id: id(11), trim: .keeping(2), ["n": "11"]))
            #expect(numbers(try await client.send(.xrange("s"))) == [10, 11])
            let read = try await client.send(
                .xread([("s", after: id(10)), ("none", after: .zero)], count: 5))
            #expect(read.map(\.key) == ["s"] && numbers(read[0].entries) == [11])
        }
    }

    @Test func `what is not there is nothing, or an error that says so`() async throws {
        try await withServer { _, client in
            #expect(try await client.send(.xlen("none")) == 0)
            #expect(try await client.send(.xrange("none", count: 0)).isEmpty, "a server answers nil")
            #expect(try await client.send(.xread([("none", after: .zero)], count: 1)).isEmpty)
            #expect(try await client.send(.xack("none", "g", [id(1)])) == 0)
            #expect(try await client.send(.xgroupCreate("made", "g", after: nil)))
            #expect(try await client.send(.xlen("made")) == 0)
            try await client.send(RedisCommand("SET", "text", "x"))
            let codes: [(RedisServerCode?, () async throws -> Void)] = [
                (.wrongType, { try await client.send(.xlen("text")) }),
                (.noGroup, { try await client.send(.xreadgroup("g", "c", ["none"], count: 1)) }),
                (.noGroup, { try await client.send(.xpending("made", "none")) }),
                (.busyGroup, { try await client.send(.xgroupCreate("made", "g", after: nil)) }),
                (nil, { try await client.send(.xgroupCreate("none", "g", after: nil, makeStream: false)) }),
                (nil, { try await client.send(.xinfoStream("none")) }),
                (nil, { try await client.send(.xadd("s", id: .zero, ["a": "b"])) }),
            ]
            for (number, (code, send)) in codes.enumerated() {
                let error = await #expect(throws: RedisError.self, "\(number)") { try await send() }
                if let code { #expect(error?.serverCode == code, "\(number)") }
                #expect(error?.code == .server && error?.mayHaveRun == false, "\(number)")
            }
            // A reply that is not what the command gives is an error, and not an empty answer.
            let reply = try await client.send(RedisCommand("GET", "text"))
            #expect(throws: RedisError.self) { try RedisCommand.xlen("text").answer(from: reply) }
            #expect(throws: RedisError.self) { try RedisCommand.xrange("text").answer(from: reply) }
            #expect(throws: RedisError.self) { try RedisCommand.xinfoGroups("text").answer(from: reply) }
        }
    }

    @Test func `a group's entries are read, held, taken over and acknowledged`() async throws {
        try await withServer { _, client in
            try await fill(client, 6)
            try await client.send(.xgroupCreate("s", "g", after: id(1)))
            let read = try await client.send(.xreadgroup("g", "one", ["s"], count: 3))
            #expect(read.map(\.key) == ["s"] && read[0].entries.map(\.id) == [id(2), id(3), id(4)])
            try await client.send(.xdel("s", [id(3)]))
            let held = try await client.send(.xreadgroupHeld("g", "one", [("s", after: .zero)], count: 9))
            #expect(held[0].entries.map(\.isDeleted) == [false, true, false])
            #expect(held[0].entries.map { $0.field("n")?.string } == ["2", nil, "4"])
            #expect(
                try await client.send(.xreadgroupHeld("g", "two", [("s", after: .zero)], count: 9))[0].entries
                    .isEmpty)

            let summary = try await client.send(.xpending("s", "g"))
            #expect(summary.count == 3 && summary.consumers == ["one": 3])
            #expect(summary.first == id(2) && summary.last == id(4))
            var pending = try await client.send(.xpending("s", "g", id(3)...id(9), count: 9))
            #expect(pending.map(\.id) == [id(3), id(4)] && pending.allSatisfy { $0.consumer == "one" })
            #expect(pending[1].deliveries == 2 && pending[1].idle < .seconds(10), "the look counts")

            #expect(try await client.send(.xclaim("s", "g", "two", idle: .seconds(60), [id(2)])).isEmpty)
            #expect(
                try await client.send(.xclaim("s", "g", "two", idle: .zero, [id(2)])).map(\.id) == [id(2)])
            let claimed = try await client.send(.xautoclaim("s", "g", "three", idle: .zero, count: 9))
            #expect(claimed.entries.map(\.id) == [id(2), id(4)] && claimed.deleted == [id(3)])
            #expect(claimed.next == nil)
            let part = try await client.send(.xautoclaim("s", "g", "three", idle: .zero, count: 1))
            #expect(part.next == id(4) && part.entries.map(\.id) == [id(2)])
            pending = try await client.send(
                .xpending("s", "g", .zero ... .newest, count: 9, of: "three"))
            #expect(pending.map(\.id) == [id(2), id(4)])

            #expect(try await client.send(.xack("s", "g", [id(2), id(3), id(2)])) == 1)
            #expect(try await client.send(.xgroupDeleteConsumer("s", "g", "three")) == 1)
            let empty = try await client.send(.xpending("s", "g"))
            #expect(empty.count == 0 && empty.first == nil && empty.consumers.isEmpty)
        }
    }

    @Test func `a stream, its groups and consumers say how they stand`() async throws {
        try await withServer { _, client in
            try await fill(client, 5)
            try await client.send(.xdel("s", [id(5)]))
            let stream = try await client.send(.xinfoStream("s"))
            #expect(stream.length == 4 && stream.lastGeneratedID == id(5) && stream.entriesAdded == 5)
            #expect(stream.firstID == id(1) && stream.lastID == id(4) && stream.groups == 0)
            try await client.send(.xtrim("s", .keeping(0)))
            let empty = try await client.send(.xinfoStream("s"))
            #expect(empty.length == 0 && empty.firstID == nil && empty.lastID == nil)
            #expect(empty.lastGeneratedID == id(5))
            try await client.send(RedisCommand("DEL", "s"))

            try await fill(client, 5)
            try await client.send(.xgroupCreate("s", "a", after: .zero))
            try await client.send(.xgroupCreate("s", "b", after: id(2)))
            try await client.send(.xreadgroup("a", "c", ["s"], count: 2))
            var groups = try await client.send(.xinfoGroups("s"))
            #expect(groups.map(\.name) == ["a", "b"] && groups.map(\.pending) == [2, 0])
            #expect(groups.map(\.lastDeliveredID) == [id(2), id(2)] && groups.map(\.consumers) == [1, 0])
            #expect(groups[0].lag == 3 && groups[0].entriesRead == 2)
            #expect(groups[1].lag == nil, "the server does not know it after a start in the middle")
            try await client.send(.xgroupSetID("s", "b", after: id(4), entriesRead: 4))
            groups = try await client.send(.xinfoGroups("s"))
            #expect(groups[1].lag == 1 && groups[1].entriesRead == 4)
            try await client.send(.xgroupSetID("s", "b", after: nil))
            #expect(try await client.send(.xinfoGroups("s"))[1].lastDeliveredID == id(5))
            #expect(try await client.send(.xgroupCreateConsumer("s", "a", "d")))
            #expect(try await client.send(.xgroupCreateConsumer("s", "a", "d")) == false)
            let consumers = try await client.send(.xinfoConsumers("s", "a"))
            #expect(consumers.map(\.name) == ["c", "d"] && consumers.map(\.pending) == [2, 0])
            #expect(consumers[0].idle >= .zero && consumers[0].idle < .seconds(10))
            #expect(try await client.send(.xgroupDestroy("s", "b")))
            #expect(try await client.send(.xgroupDestroy("s", "b")) == false)
        }
    }

    @Test func `a read that blocks ends with an entry, or with none when its time is up`() async throws {
        try await withServer { _, client in
            try await client.send(.xgroupCreate("s", "g", after: .zero))
            let reader = client.dedicated()
            defer { reader.close() }
            // Longer than the time for a reply, which is counted from the end of the wait.
            #expect(reader.configuration.commandTimeout < .seconds(60))
            async let read = reader.send(.xreadgroup("g", "c", ["s"], count: 1, block: .seconds(600)))
            try await eventually("the reader blocks") {
                try await client.send(RedisCommand("CLIENT", "LIST")).string?.contains("cmd=xreadgroup")
                    == true
            }
            try await client.send(.xadd("s", id: id(7), ["a": "b"]))
            #expect(try await read.first?.entries.map(\.id) == [id(7)])
            let started = ContinuousClock.now
            #expect(try await reader.send(.xreadgroup("g", "c", ["s"], count: 1, block: .zero)).isEmpty)
            #expect(
                try await reader.send(.xread([("s", after: id(7))], count: 1, block: .milliseconds(100)))
                    .isEmpty)
            #expect(ContinuousClock.now - started > .milliseconds(95))
            #expect(ContinuousClock.now - started < .seconds(5), "BLOCK 0 would be for ever")
        }
    }

    @Test func `typed commands go in a pipeline, each with its answer`() async throws {
        try await withServer { _, client in
            var pipeline = RedisPipeline()
            pipeline.appendXADD("s", argumentCount: 2) { command in
                command.append("n" as StaticString)
                command.append(bytes: [1, 2])
            }
            let (length, bad) = (RedisCommand.xlen("s"), RedisCommand.xrange("text"))
            pipeline.append("SET", "text", "x")
            pipeline.append(length)
            pipeline.append(bad)
            let replies = Array(try await client.send(pipeline))
            #expect(replies[0].streamID != nil)
            #expect(try length.answer(from: replies[2]) == 1)
            let error = #expect(throws: RedisError.self) { try bad.answer(from: replies[3]) }
            #expect(error?.serverCode == .wrongType)
        }
    }

    @Test(arguments: [
        ("0-0", StreamID.zero), ("5", StreamID(milliseconds: 5, sequence: 0)),
        ("1700000000000-12", StreamID(milliseconds: 1_700_000_000_000, sequence: 12)),
        ("18446744073709551615-18446744073709551615", .newest),
        ("007-08", StreamID(milliseconds: 7, sequence: 8)),
    ]) func `a text that is an id is read`(_ text: String, _ id: StreamID) {
        #expect(StreamID(text) == id)
    }

    @Test(arguments: [
        "", "-", "1-", "-1", "1-2-3", "+1", "1-+2", "x", "1 ", "18446744073709551616",
        "1-18446744073709551616", "(1-0",
        "1_0", "٣",
    ]) func `a text that is none is refused`(_ text: String) {
        #expect(StreamID(text) == nil)
    }

    @Test func `ids are in the stream's order, with a next and a last`() throws {
        let ids = ["0-0", "0-1", "0-18446744073709551615", "1-0", "2-0", "10-0"].compactMap { StreamID($0) }
        #expect(ids == ids.shuffled().sorted())
        #expect(ids[2].successor == ids[3] && ids[3].predecessor == ids[2])
        #expect(StreamID.zero.predecessor == nil && StreamID.newest.successor == nil)
        let copy = try JSONDecoder().decode([StreamID].self, from: JSONEncoder().encode(ids))
        #expect(copy == ids)
        #expect(throws: DecodingError.self) {
            try JSONDecoder().decode([StreamID].self, from: Data(#"["1-x"]"#.utf8))
        }
    }
}
