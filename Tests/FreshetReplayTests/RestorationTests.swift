import Freshet
import FreshetReplay
import FreshetTesting
import Hiredis
import Testing

@Suite struct RestorationTests {
    @Test func `a restored topic is the original, byte for byte`() async throws {
        try await Rig.withTwo { rig, other in
            let topic = rig.topic(partitions: 2)
            try await rig.broker.declare(
                TopicDeclaration(
                    topic,
                    groups: [GroupDeclaration("payment", ordering: .perKey), GroupDeclaration("audit")],
                    retention: Retention(age: .seconds(86_400)), limit: 5000))
            try await rig.publish(1...300)
            try await rig.publish(1...100, partition: 1)
            try await rig.redis(
                "XADD", rig.keys().events, "301-7", "data", [0, 0xff, 0x22] as [UInt8], "data", "")
            _ = try await rig.read(150)
            for (number, key) in [rig.keys().dead("payment"), rig.keys(1).invalid("audit")].enumerated() {
                try await rig.redis("XADD", key, "7-\(number)", "id", "e1", "freshetreason", "no")
                try await rig.redis("XADD", key, "8-0", "id", "e2")
                try await rig.redis("XDEL", key, "8-0")
            }
            try await rig.pass(topic, segment: 64)
            try await other.restore(from: rig)
            for partition in 0...1 {
                let keys = rig.keys(partition)
                for key in [keys.events] + (partition == 0 ? [keys.dead("payment")] : [keys.invalid("audit")])
                {
                    #expect(try await rig.contents(key) == other.contents(key))
                    #expect(try await rig.numbers(key) == other.numbers(key), "\(key)")
                }
                let (groups, restored) = (
                    try await rig.client.send(.xinfoGroups(keys.events)),
                    try await other.client.send(.xinfoGroups(keys.events))
                )
                #expect(groups.map(\.name) == restored.map(\.name))
                #expect(groups.map(\.lastDeliveredID) == restored.map(\.lastDeliveredID))
                #expect(groups.map(\.lag) == restored.map(\.lag))
                #expect(restored.map(\.pending) == [0, 0])
            }
            // When the archive was last at work is another time.
            let (fields, restored) = (
                try await rig.broker.fields(of: "orders").mapValues { $0.prefix { $0 != " " } },
                try await other.broker.fields(of: "orders").mapValues { $0.prefix { $0 != " " } }
            )
            #expect(fields == restored && fields["archived:by:0"]?.isEmpty == false)
            #expect(try await other.broker.declaration(of: "orders") == rig.broker.declaration(of: "orders"))
            // And it can be archived again, to the same folder.
            let archiver = try await Archiver.open(topic, on: other.broker, to: rig.folder)
            #expect(try await archiver.pass().map(\.archived) == [0, 0])
            await archiver.close()
        }
    }

    @Test func `the numbers of a log that retention has cut off are right, and its history comes back`()
        async throws
    {
        try await Rig.withTwo { rig, other in
            try await rig.publish(1...500)
            try await rig.createGroup()
            _ = try await rig.read(450)
            try await rig.pass()
            try await rig.publish(501...510)
            try await rig.redis("XTRIM", rig.keys().events, "MINID", "400-0")
            try await rig.pass()
            try await other.restore(from: rig)
            let info = try await other.numbers(rig.keys().events)
            #expect(info.length == 510 && info.entriesAdded == 510)
            let group = try await other.client.send(.xinfoGroups(rig.keys().events))[0]
            #expect(group.lastDeliveredID == id(450) && group.entriesRead == 450 && group.lag == 60)
        }
    }

    @Test(arguments: ["nothing", "pending", "delayed", "redelivery", "all"])
    func `a group comes back before the oldest event that it had not settled`(what: String) async throws {
        try await Rig.withTwo { rig, other in
            try await rig.publish(1...50)
            try await rig.createGroup()
            _ = try await rig.read(30)
            var oldest: UInt64 = 31
            if what == "pending" || what == "all" {
                _ = try await rig.read(5, acknowledging: false)
                try await rig.redis("XACK", rig.keys().events, "payment", "31-0")
                oldest = 32
            }
            if what == "delayed" || what == "all" {
                try await rig.redis(
                    "EVAL",
                    "return redis.call('ZADD', KEYS[1], 9e15, ARGV[1] .. ' ' .. cmsgpack.pack({'id', 'x', 'freshetoriginalid', ARGV[1]}))",
                    1, rig.keys().delayed("payment"), "12-0")
                oldest = 12
            }
            if what == "redelivery" || what == "all" {
                try await rig.redis("XADD", rig.redelivery(), "*", "id", "x", "freshetoriginalid", "9-0")
                try await rig.redis("XADD", rig.redelivery(), "*", "id", "y", "freshetoriginalid", "17-0")
                oldest = 9
            }
            try await rig.pass()
            try await other.restore(from: rig)
            let group = try await other.client.send(.xinfoGroups(rig.keys().events))[0]
            #expect(group.entriesRead == Int(oldest) - 1 && group.lag == 51 - Int(oldest), "\(group)")
            #expect(try await other.read(1) == [id(oldest)])
            #expect(try await other.client.send(.xinfoGroups(rig.redelivery())).map(\.name) == ["payment"])
        }
    }

    @Test func `a topic that is there is refused, and nothing is changed`() async throws {
        try await Rig.withTwo { rig, other in
            try await rig.publish(1...5)
            try await rig.pass()
            try await other.redis("XADD", rig.keys().events, "9-0", "id", "own")
            for _ in 0..<2 {
                let error = await #expect(throws: ArchiveError.self) { try await other.restore(from: rig) }
                #expect(error?.code == .refused && error?.description.contains(rig.keys().events) == true)
                #expect(try await other.redis("DBSIZE").integer == 1)
                // Empty, but its ids lie behind the archive's.
                try await other.redis("XTRIM", rig.keys().events, "MAXLEN", 0)
            }
            await #expect(throws: ArchiveError.self) {
                try await Restoration(of: "none", from: rig.archive, on: other.broker)
            }
        }
    }

    @Test func `events for later and groups of any name come back as well`() async throws {
        try await Rig.withTwo { rig, other in
            try await rig.publish(1...5)
            let publisher = Publisher(to: rig.topic(), on: rig.broker)
            let time = Timestamp(milliseconds: Timestamp.now().milliseconds + 3_600_000)
            for number in 0..<700 {
                let event = Event(
                    source: "till", type: "even", data: EventData(Array("{\"number\":\(number)}".utf8)))
                try await publisher.publish(event, deliverAt: time)
            }
            try await rig.redis("XGROUP", "CREATE", rig.keys().events, "a group/of others", "2-0")
            try await rig.redis(
                "XADD", rig.keys().dead(GroupName(unchecked: "a group/of others")), "1-0", "id", "x")
            try await rig.pass()
            try await rig.pass()
            #expect(try await rig.problems() == [])
            try await other.restore(from: rig)
            func scheduled(_ rig: Rig) async throws -> [[UInt8]]? {
                try await rig.redis("ZRANGE", rig.keys().scheduled, 0, -1, "WITHSCORES").array?
                    .compactMap { $0.bytes?.array }
            }
            let (events, restored) = (try await scheduled(rig), try await scheduled(other))
            #expect(events?.count == 1400 && events == restored)
            let groups = try await other.client.send(.xinfoGroups(rig.keys().events))
            #expect(groups.map(\.name) == ["a group/of others"] && groups[0].lastDeliveredID == id(2))
            #expect(
                try await other.redis("XLEN", rig.keys().dead(GroupName(unchecked: "a group/of others")))
                    .integer == 1)
        }
    }

    @Test func `a restoration that was stopped goes on where the log ends`() async throws {
        try await Rig.withTwo { rig, other in
            try await rig.publish(1...3000)
            try await rig.createGroup()
            _ = try await rig.read(100)
            try await rig.pass(segment: 500)
            try await other.restore(from: rig) { $0 < 700 }
            let part = try await other.redis("XLEN", rig.keys().events).integer ?? 0
            #expect((700..<3000).contains(part))
            #expect(try await Restoration(of: "orders", from: rig.archive, on: other.broker).isResumed)
            try await other.restore(from: rig)
            #expect(try await rig.contents(rig.keys().events) == other.contents(rig.keys().events))
            #expect(try await other.read(1) == [id(101)])
            #expect(try await other.redis("HEXISTS", "test:topic:{orders}", "restoring").integer == 0)
        }
    }

    @Test func `what was published behind the archive's end does not keep a restoration from ending`()
        async throws
    {
        try await Rig.withTwo { rig, other in
            let topic = rig.topic(partitions: 2)
            for partition in 0...1 { try await rig.publish(1...3000, partition: partition) }
            try await rig.createGroup(after: "100-0", partitions: 2)
            try await rig.redis("XADD", rig.keys().dead("payment"), "1-0", "id", "e1")
            try await rig.pass(topic, segment: 500)
            // Killed in the second partition: the first one is whole.
            try await other.restore(from: rig) { $0 < 3700 }
            try await other.publish(3001...3005)
            try await other.redis("XADD", rig.keys().dead("payment"), "2-0", "id", "e2")
            try await other.restore(from: rig)
            let info = try await other.numbers(rig.keys().events)
            #expect(info.length == 3005 && info.entriesAdded == 3005 && info.lastGeneratedID == id(3005))
            #expect(try await other.numbers(rig.keys(1).events) == rig.numbers(rig.keys(1).events))
            #expect(try await other.numbers(rig.keys().dead("payment")).length == 2)
            let groups = try await other.client.send(.xinfoGroups(rig.keys().events))
            #expect(groups.map(\.entriesRead) == [100] && groups.map(\.lag) == [2905])
            let archiver = try await Archiver.open(topic, on: other.broker, to: rig.folder)
            let reports = try await archiver.pass()
            #expect(reports.map(\.archived) == [5, 0] && reports.map(\.missing) == [0, 0])
            await archiver.close()
        }
    }

    @Test func `what was changed since a restoration was stopped is not taken for the archive's`()
        async throws
    {
        try await Rig.withTwo { rig, other in
            try await rig.publish(1...3000)
            try await rig.pass(segment: 500)
            try await other.restore(from: rig) { $0 < 700 }
            try await other.redis("XDEL", rig.keys().events, "100-0")
            let error = await #expect(throws: ArchiveError.self) { try await other.restore(from: rig) }
            #expect(error?.code == .refused && error?.description.contains("other entries") == true)
        }
    }

    @Test func `a range is published anew, under the events' own ids`() async throws {
        try await Rig.with { rig in
            try await rig.publish(1...30)
            try await rig.pass()
            try await rig.redis("XADD", "test:events:{again:0}", "1-0", "id", "first")
            let republication = try await Republication(
                of: "orders", from: rig.archive, to: "again", in: (.id(id(5)), .id(id(14))), on: rig.broker)
            #expect(try await republication.survey() == 10)
            #expect(try await republication.run() == (10, 0))
            let entries = try await rig.client.send(.xrange("test:events:{again:0}"))
            #expect(
                entries.map { $0.field("id")?.string ?? "" } == ["first"] + (5...14).map { "e\($0)" })
            #expect(entries[1].fields.count == 12 && entries[1].id > id(1_000_000))
            await #expect(throws: FreshetError.self) {
                try await Republication(
                    of: "orders", from: rig.archive, to: "none", in: (.start, .end), on: rig.broker)
            }
        }
    }
}
