import Freshet
import FreshetReplay
import FreshetTesting
import Hiredis
import Testing

@Suite struct SettledEntriesTests {
    private static let orders = Topic("orders")

    private func settled(_ rig: Rig, among numbers: ClosedRange<UInt64>) async throws -> [UInt64] {
        let settled = try await rig.broker.settledEntries(of: "payment", topic: Self.orders, partition: 0)
        return numbers.filter { settled.contains(id($0)) }
    }

    @Test func `settled is what was given and is not under way, given up or unreadable`() async throws {
        try await Rig.with { rig in
            try await rig.publish(1...12)
            try await rig.createGroup()
            #expect(try await settled(rig, among: 1...12) == [])
            _ = try await rig.read(8)
            _ = try await rig.read(1, acknowledging: false)
            #expect(try await settled(rig, among: 1...12) == Array(1...8))
            // Where delivery puts what is not done with.
            for (stream, number) in [
                (rig.keys().dead("payment"), 1), (rig.keys().invalid("payment"), 2), (rig.redelivery(), 3),
            ] {
                try await rig.redis(
                    "XADD", stream, "*", "id", "e\(number)", "freshetoriginalid", "\(number)-0")
            }
            let fields = ["id", "e4", "freshetoriginalid", "4-0"]
            let delay = RedisScript("redis.call('ZADD', KEYS[1], 9, '4-0 ' .. cmsgpack.pack(ARGV))")
            try await delay.run(on: rig.client, keys: [rig.keys().delayed("payment")], arguments: fields)
            #expect(try await settled(rig, among: 1...12) == [5, 6, 7, 8])
            // What another consumer took up of a redelivery is not done with either.
            try await rig.redis(
                "XREADGROUP", "GROUP", "payment", "c", "STREAMS", rig.redelivery(), ">")
            #expect(try await settled(rig, among: 1...12) == [5, 6, 7, 8])
        }
    }

    @Test func `what lies before the group's start it has not settled, nor what a group that is gone had`()
        async throws
    {
        try await Rig.with { rig in
            try await rig.publish(1...5)
            try await rig.redis("XGROUP", "CREATE", rig.keys().events, "payment", "3-0")
            try await rig.redis("HSET", "test:topic:{orders}", "start:payment:0", "3-0")
            _ = try await rig.read(2)
            #expect(try await settled(rig, among: 1...5) == [4, 5])
            try await rig.redis("XGROUP", "DESTROY", rig.keys().events, "payment")
            #expect(try await settled(rig, among: 1...5) == [])
        }
    }

    @Test func `a merged history is in the order of the ids, page after page, and can grow`() async throws {
        try await Rig.with { rig in
            let topic = Topic("orders", partitions: 3)
            for partition in 0..<3 {
                try await rig.publish((1...700).map { 3 * $0 + partition }, partition: partition)
            }
            let merged = MergedHistory()
            let history = History(of: topic, on: rig.broker)
            for partition in 0..<2 {
                await merged.add(history, partition: partition, in: .zero...id(1500))
            }
            var seen: [StreamID] = []
            while case let entries = try await merged.next(upTo: 64), !entries.isEmpty {
                seen += entries.map(\.entry.id)
                if seen.count == 640 { await merged.add(history, partition: 2, in: id(1500) ... .newest) }
            }
            let expected = (3...2102).filter { number in
                number % 3 == 2 ? number >= 1500 : number <= 1500
            }
            #expect(seen.count == expected.count)
            #expect(seen == seen.sorted())
            #expect(Set(seen.map { Int($0.milliseconds) }) == Set(expected))
        }
    }
}
