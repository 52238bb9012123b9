import FoundationEssentials
import Freshet
import FreshetReplay
import FreshetTesting
import Hiredis
import Testing

@Suite struct ReplayRunTests {
    private let tester = Operator("tester", reason: "a test")

    @Test func `conditions on attributes and on the data narrow the selection`() async throws {
        try await Rig.with { rig in
            try await rig.createGroup()
            for (number, data) in [
                #"{"total":900,"customer":{"id":"c1"},"lines":[{"sku":"a"}]}"#,
                #"{"total":1000,"customer":{"id":"c2"},"lines":[]}"#,
                #"{"total":1100.5,"customer":{"id":"c2"},"paid":true,"note":null}"#, "not JSON",
            ].enumerated() {
                try await rig.redis(
                    "XADD", rig.keys().events, "\(number + 1)-0", "id", "e\(number + 1)", "source",
                    number == 0 ? "till" : "shop", "data", data)
            }
            func chosen(_ conditions: String...) async throws -> [StreamID?] {
                let plan = try await rig.redeliver { request in
                    request.filter.matches = conditions.compactMap { FieldMatch($0) }
                    #expect(request.filter.matches.count == conditions.count)
                }
                guard plan.selected.count > 0 else { return [] }
                _ = try await rig.run(plan)
                defer { _ = 0 }
                let ids = try await rig.ids(rig.redelivery())
                try await rig.redis("XTRIM", rig.redelivery(), "MAXLEN", 0)
                return ids
            }
            #expect(try await chosen("source=till") == [id(1)])
            #expect(try await chosen("source!=till", "id!=e4") == [id(2), id(3)])
            #expect(try await chosen("data.total>=1000") == [id(2), id(3)])
            #expect(try await chosen("data.total<1000") == [id(1)], "as numbers, not as text")
            #expect(try await chosen("data.total=1100.50") == [id(3)])
            #expect(try await chosen("data.customer.id=c2", "data.paid=true") == [id(3)])
            #expect(try await chosen("data.note=null") == [id(3)])
            #expect(try await chosen("data.lines.0.sku=a") == [id(1)])
            #expect(try await chosen("data.lines.7.sku!=a").count == 4, "what is not there is not equal")
            #expect(try await chosen("nothing=1") == [])
            try await rig.redis("XADD", rig.keys().events, "5-0", "id", "0x7", "source", "till")
            #expect(try await chosen("id=0x1234") == [], "a text, not zero")
        }
        for text in ["", "=", "a", "=b", "subject.x=1", "data..x=1"] {
            #expect(FieldMatch(text) == nil, "\(text)")
        }
    }

    @Test func `the first and the last so many are those of all partitions together`() async throws {
        try await Rig.with { rig in
            try await rig.publish((1...60).map { $0 * 2 })
            try await rig.publish((1...60).map { $0 * 2 + 1 }, partition: 1)
            try await rig.createGroup(partitions: 2)
            let first = try await rig.redeliver { $0.first = 11 }
            #expect(
                first.selected.count == 11 && first.selected.first == id(2) && first.selected.last == id(12))
            let last = try await rig.redeliver(types: ["even"]) { $0.last = 3 }
            #expect(last.selected.count == 3 && last.selected.types == ["even": 3])
            #expect(last.selected.first == id(116) && last.selected.last == id(120))
            #expect(try await rig.run(last) == 3)
            #expect(try await rig.ids(rig.redelivery(0)) == [id(116), id(118), id(120)])
            let some = try await rig.redeliver { request in
                request.filter.ids = ["e5", "100-0", "nobody"]
                request.filter.partitions = [0, 1]
            }
            #expect(some.selected.partitions == [0: 1, 1: 1])
            let tooMany = await #expect(throws: FreshetError.self) {
                try await rig.redeliver { $0.limits.events = 100 }
            }
            #expect(tooMany?.code == .refused && tooMany?.message.contains("120") == true)
        }
    }

    @Test func `a copy to another topic keeps each key's order, and a file has every event once`()
        async throws
    {
        try await Rig.with { rig in
            try await rig.publish(1...500)
            try await rig.publish(501...900, partition: 1)
            try await rig.broker.declare(TopicDeclaration(Topic("copy", partitions: 3)))
            var request = ReplayRequest(topic: "orders", to: .topic("copy"))
            request.filter.types = ["odd"]
            #expect(try await rig.run(rig.broker.plan(request)) == 450)
            var copied: [String] = []
            for partition in 0..<3 {
                var numbers: [Int] = []
                for try await entry in rig.broker.entries(of: rig.broker.keys("copy", partition).events) {
                    let name = try #require(entry.field("id")?.string)
                    let key = try #require(entry.field("partitionkey")?.string)
                    #expect(Topic("copy", partitions: 3).partition(ofKey: key) == partition)
                    #expect(entry.field("freshetreplay") == nil, "it is an event as any other")
                    copied.append(name)
                    numbers.append(Int(name.dropFirst()) ?? -1)
                }
                #expect(numbers == numbers.sorted())
            }
            #expect(
                Set(copied) == Set((1...900).filter { $0 % 2 == 1 }.map { "e\($0)" }) && copied.count == 450)
            let path = "\(rig.server.folder)/out.ndjson"
            #expect(
                try await rig.run(rig.broker.plan(ReplayRequest(topic: "orders", to: .file(path)))) == 900)
            let lines = try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n")
            let entries = try lines.map { try HistoryLine(decoding: Array($0.utf8)) }
            #expect(entries.map { $0.entry.id } == (1...900).map { id(UInt64($0)) })
            #expect(entries.map(\.partition) == (1...900).map { $0 <= 500 ? 0 : 1 })
            try await rig.createGroup(partitions: 2)
            let back = try await rig.redeliver(from: .id(id(490)), to: .id(id(510))) {
                $0.source = .file(path)
            }
            #expect(back.selected.count == 21 && back.selected.partitions == [0: 11, 1: 10])
            #expect(try await rig.run(back) == 21)
            #expect(try await rig.ids(rig.redelivery(1)) == (501...510).map { id($0) })
            try Data("{}\n".utf8).write(to: URL(filePath: "\(rig.server.folder)/bad.ndjson"))
            let bad = await #expect(throws: FreshetError.self) {
                try await rig.redeliver { $0.source = .file("\(rig.server.folder)/bad.ndjson") }
            }
            #expect(bad?.code == .invalidData && bad?.message.contains("bad.ndjson:1:") == true)
            let again = await #expect(throws: FreshetError.self) {
                try await rig.run(rig.broker.plan(ReplayRequest(topic: "orders", to: .file(path))))
            }
            #expect(again?.message.contains("out.ndjson") == true, "a file that is there is not written over")
        }
    }

    @Test func `a paused replay goes on, and a cancelled one does not`() async throws {
        try await Rig.with { rig in
            try await rig.publish(1...3000)
            try await rig.createGroup()
            let plan = try await rig.redeliver { $0.pace.rate = 1500 }
            let job = try await rig.broker.save(plan, by: tester)
            let (broker, tester) = (rig.broker, tester)
            async let ended = ReplayRun.run(job, by: tester, on: broker)
            try await eventually("it runs") { try await broker.replay(job.id).done > 0 }
            try await broker.pause(try await broker.replay(job.id), by: tester)
            try await eventually("it waits") { try await broker.replay(job.id).state == .paused }
            let busy = await #expect(throws: FreshetError.self) {
                try await ReplayRun.run(job, by: tester, on: broker)
            }
            #expect(busy?.code == .busy)
            let before = try await rig.ids(rig.redelivery()).count
            #expect(before < 3000)
            #expect(try await broker.unpause(try await broker.replay(job.id), by: tester))
            #expect(try await ended.state == .done)
            #expect(try await rig.ids(rig.redelivery()) == (1...3000).map { id($0) })
            let over = await #expect(throws: FreshetError.self) {
                try await ReplayRun.run(try await broker.replay(job.id), by: tester, on: broker)
            }
            #expect(over?.code == .refused, "done is done")
            let second = try await broker.save(plan, by: tester)
            let other = try await broker.save(try await rig.redeliver { $0.pace.rate = 100 }, by: tester)
            async let cancelled = ReplayRun.run(other, by: tester, on: broker)
            try await eventually("it runs") { try await broker.replay(other.id).done > 0 }
            try await broker.cancel(try await broker.replay(other.id), by: tester)
            #expect(try await cancelled.state == .cancelled)
            _ = second
            let actions = try await broker.auditRecords(last: 100)
            #expect(actions.filter { $0.replay == job.id }.map(\.action).contains("replay.pause"))
            #expect(actions.allSatisfy { $0.by == "tester" && $0.reason == "a test" })
            #expect(actions.last?.action == "replay.cancelled")
        }
    }

    @Test func `an interrupted run leaves what the next one goes on from`() async throws {
        try await Rig.with { rig in
            try await rig.publish(1...4000)
            try await rig.createGroup()
            let job = try await rig.broker.save(
                try await rig.redeliver { $0.pace.rate = 2000 }, by: tester)
            for _ in 0..<3 {
                let target = try await rig.broker.replay(job.id).done + 200
                let ended = try await ReplayRun.run(job, by: tester, on: rig.broker) { $0.done < target }
                #expect(ended.state == .stopped && ended.note == "interrupted")
            }
            #expect(try await ReplayRun.run(job, by: tester, on: rig.broker).done == 4000)
            #expect(try await rig.ids(rig.redelivery()) == (1...4000).map { id($0) })
            #expect(try await rig.redis("KEYS", "test:replayed:*").array?.count == 0, "nothing is left over")
        }
    }

    @Test func `it waits for a group that does not take them, and stops when too many fail`() async throws {
        try await Rig.with { rig in
            try await rig.publish(1...6000)
            try await rig.createGroup()
            let (broker, tester) = (rig.broker, tester)
            var plan = try await rig.redeliver { $0.limits.waiting = 1000 }
            let waiting = try await broker.save(plan, by: tester)
            let stopped = Task { try await ReplayRun.run(waiting, by: tester, on: broker) }
            try await eventually("it waits") {
                try await broker.replay(waiting.id).note.contains("wait for the group")
            }
            let ahead = try await rig.ids(rig.redelivery()).count
            #expect((1000..<6000).contains(ahead))
            let failing = Subscription(
                to: Topic("orders"), group: "payment", on: broker, options: SubscriptionOptions()
            ) {
                for type in ["even", "odd"] {
                    On(EventType(unchecked: type)) { delivery in
                        if delivery.isReplay { throw Respond(.deadLetter, because: "no") }
                    }
                }
            }
            try await running(failing) {
                let job = try await stopped.value
                #expect(job.state == .stopped && job.note.contains("failed since it began"), "\(job.note)")
                #expect(job.done < 6000)
            }
            plan = try await rig.redeliver { $0.limits.errorRate = nil }
            #expect(try await rig.run(plan) == 6000)
        }
    }

    @Test func `dead letters that fail once more stop the replay that brings them back`() async throws {
        try await Rig.with { rig in
            try await rig.createGroup()
            for number in 1...4000 {
                try await rig.redis(
                    "XADD", rig.keys().dead("payment"), "\(number)-0", "specversion", "1.0", "id",
                    "e\(number)",
                    "source", "till", "type", "odd", "data", "{}")
            }
            let broker = rig.broker
            let failing = Subscription(to: Topic("orders"), group: "payment", on: broker) {
                On(EventType(unchecked: "odd")) { _ in throw Respond(.deadLetter, because: "no") }
            }
            try await running(failing) {
                let plan = try await rig.redeliver {
                    $0.source = .dead
                    $0.pace.rate = 1000
                }
                let job = try await broker.save(plan, by: tester)
                let ended = try await ReplayRun.run(job, by: tester, on: broker)
                #expect(ended.state == .stopped && ended.done < 4000, "\(ended.note)")
            }
        }
    }

    @Test func `dead letters that a replay brings back leave where they were`() async throws {
        try await Rig.with { rig in
            try await rig.publish(1...30)
            try await rig.createGroup(after: "30-0")
            for number in 1...30 {
                try await rig.redis(
                    "XADD", rig.keys().dead("payment"), "\(100 + number)-0", "specversion", "1.0", "id",
                    "e\(number)", "source", "till", "type", number % 2 == 0 ? "even" : "odd",
                    "freshetoriginalid", "\(number)-0", "freshetattempt", "5", "freshetreason", "no")
            }
            let plan = try await rig.redeliver(from: .id(id(111)), types: ["odd"]) { $0.source = .dead }
            #expect(plan.selected.count == 10 && plan.selected.types == ["odd": 10])
            #expect(try await rig.run(plan) == 10)
            #expect(
                try await rig.ids(rig.redelivery()) == stride(from: 11, through: 29, by: 2).map { id($0) })
            #expect(try await rig.redis("XLEN", rig.keys().dead("payment")).integer == 20)
            for try await entry in rig.broker.entries(of: rig.redelivery()) {
                #expect(
                    entry.field("freshetreplay")?.string == plan.id && entry.field("freshetattempt") == nil)
            }
        }
    }
}
