import FoundationEssentials
import Freshet
import FreshetReplay
import FreshetTesting
import Hiredis
import Testing

@Suite struct ArchiveTests {
    @Test func `a pass copies what the log holds, the next one what came since`() async throws {
        try await Rig.with { rig in
            try await rig.publish(1...50, partition: 0)
            try await rig.publish(1...20, partition: 1)
            let topic = rig.topic(partitions: 2)
            let first = try await rig.pass(topic)
            #expect(first.map(\.archived) == [50, 20] && first.map(\.missing) == [0, 0])
            #expect(first[0].first == id(1) && first[0].last == id(50) && first[0].total == 50)
            try await rig.publish(51...60, partition: 0)
            let second = try await rig.pass(topic)
            #expect(second.map(\.archived) == [10, 0] && second.map(\.total) == [60, 20])
            #expect(try await rig.pass(topic).map(\.archived) == [0, 0])
            #expect(try await rig.redis("HGET", "test:topic:{orders}", "archived:0").string == "60-0")
            #expect(try await rig.redis("HGET", "test:topic:{orders}", "archived:1").string == "20-0")
            #expect(try await rig.problems() == [])
            try await rig.redis("XTRIM", rig.keys().events, "MAXLEN", 0)
            let pages = History(of: topic, on: rig.broker, archive: try rig.archive).pages(ofPartition: 0)
            #expect(try await rig.ids(pages) == (1...60).map { id($0) })
        }
    }

    @Test func `bytes of any kind come back as they were`() async throws {
        try await Rig.with { rig in
            let odd: [UInt8] = [0, 1, 0x22, 0x5c, 0x0a, 0xff, 0xfe, 0x80]
            try await rig.redis("XADD", rig.keys().events, "1-0", "data", odd, odd, "")
            try await rig.redis("XADD", rig.keys().events, "1-1", "data", "a", "data", "b")
            let before = try await rig.contents(rig.keys().events)
            try await rig.pass()
            var pages = try HistoryPagesOfArchive(rig)
            #expect(try await pages.all() == before)
        }
    }

    /// All of partition 0, of which the log has nothing any more.
    private struct HistoryPagesOfArchive {
        let rig: Rig
        init(_ rig: Rig) throws { self.rig = rig }

        mutating func all() async throws -> [[[UInt8]]] {
            try await rig.redis("DEL", rig.keys().events)
            var pages = History(of: rig.topic(), on: rig.broker, archive: try rig.archive).pages(
                ofPartition: 0)
            var all: [[[UInt8]]] = []
            while let page = try await pages.next() {
                all += page.map { [Array("\($0.id)".utf8)] + $0.fields.compactMap { $0.bytes?.array } }
            }
            return all
        }
    }

    @Test func `segments are cut where they are full, and small ones at the end are joined`() async throws {
        try await Rig.with { rig in
            try await rig.publish(1...25)
            try await rig.pass(segment: 10)
            #expect(try rig.manifest().segments.map(\.count) == [10, 10, 5])
            for number in 26...40 {
                try await rig.publish([number])
                try await rig.pass(segment: 10)
            }
            let segments = try rig.manifest().segments
            #expect(
                segments.map(\.count).reduce(0, +) == 40 && segments.count <= 7, "\(segments.map(\.count))")
            #expect(segments.allSatisfy { $0.count <= 10 })
            #expect(try await rig.problems() == [])
            let files = try FileManager.default.contentsOfDirectory(atPath: rig.path(""))
            #expect(Set(files) == Set(segments.map(\.file) + ["manifest.json"]))
        }
    }

    @Test func `what a killed archiver was writing is removed, and the archive goes on without it`()
        async throws
    {
        try await Rig.with { rig in
            try await rig.publish(1...10)
            try await rig.pass()
            for name in ["00000002.ndjson.zst", "manifest.json.tmp", "set-aside.tmp"] {
                try write([1, 2, 3], to: rig.path(name))
            }
            try await rig.publish(11...20)
            #expect(try await rig.pass().map(\.total) == [20])
            #expect(try await rig.problems() == [])
            #expect(!FileManager.default.fileExists(atPath: rig.path("manifest.json.tmp")))
        }
    }

    @Test func `entries that were cut off before they could be archived are counted`() async throws {
        try await Rig.with { rig in
            try await rig.publish(1...10)
            try await rig.redis("XTRIM", rig.keys().events, "MINID", "4-0")
            #expect(try await rig.pass().map(\.missing) == [3])
            try await rig.publish(11...30)
            try await rig.redis("XTRIM", rig.keys().events, "MINID", "21-0")
            let report = try await rig.pass()
            #expect(report[0].missing == 10 && report[0].archived == 10 && report[0].total == 17)
            #expect(try rig.manifest().segments.map(\.missing).reduce(0, +) == 13)
        }
    }

    @Test func `a log that was cut off as a whole is a gap as well, and stays one`() async throws {
        try await Rig.with { rig in
            try await rig.publish(1...10)
            let archiver = try await Archiver.open(rig.topic(), on: rig.broker, to: rig.folder)
            _ = try await archiver.pass()
            try await rig.publish(11...15)
            try await rig.redis("XTRIM", rig.keys().events, "MAXLEN", 0)
            #expect(try await archiver.pass().map(\.missing) == [5])
            #expect(try await rig.verify().map(\.missing) == [5])
            // One that goes on says it once, the next one once more.
            #expect(try await archiver.pass().map(\.missing) == [0])
            await archiver.close()
            #expect(try await rig.pass().map(\.missing) == [5])
            try await rig.publish([16])
            #expect(try await rig.pass().map(\.missing) == [5])
            #expect(try rig.manifest().segments.map(\.missing).reduce(0, +) == 5)
            #expect(try await rig.verify().map(\.missing) == [5])
            #expect(try await rig.pass().map(\.missing) == [0])
        }
    }

    @Test func `a log that was made anew is not archived behind the old one`() async throws {
        try await Rig.with { rig in
            try await rig.publish(1...10)
            try await rig.pass()
            // Before its end, behind it, and with more entries than it had.
            for numbers in [[-4, -5], [21, 22, 23], Array(21...40)] {
                try await rig.redis("DEL", rig.keys().events)
                for number in numbers {
                    try await rig.redis(
                        "XADD", rig.keys().events, number < 0 ? "\(-number)-1" : "\(number)-0", "id", "n")
                }
                let error = await #expect(throws: ArchiveError.self) { try await rig.pass() }
                #expect(error?.code == .refused && error?.description.contains("made anew") == true)
                #expect(try await rig.problems() == [])
            }
        }
    }

    @Test(arguments: ["FLUSHALL", "a group only", "one of two logs"])
    func `a log that is gone leaves the archive as it was`(how: String) async throws {
        try await Rig.withTwo { rig, other in
            let topic = rig.topic(partitions: 2)
            try await rig.broker.declare(TopicDeclaration(topic))
            for partition in 0...1 { try await rig.publish(1...10, partition: partition) }
            try await rig.createGroup(partitions: 2)
            try await rig.redis("XADD", rig.keys().dead("payment"), "1-0", "id", "e1")
            try await rig.pass(topic)
            let before = try bytes(of: "\(rig.folder)/test/orders/topic.json")
            if how == "one of two logs" {
                try await rig.redis("DEL", rig.keys(1).events)
            } else {
                try await rig.redis("FLUSHALL")
            }
            if how == "a group only" { try await rig.createGroup(partitions: 2) }
            let error = await #expect(throws: ArchiveError.self) { try await rig.pass(topic) }
            #expect(error?.code == .refused && error?.description.contains("restore it first") == true)
            #expect(try bytes(of: "\(rig.folder)/test/orders/topic.json") == before)
            #expect(try await rig.problems() == [])
            try await other.restore(from: rig)
            #expect(try await other.client.send(.xinfoGroups(rig.keys().events)).map(\.name) == ["payment"])
            #expect(try await other.redis("XLEN", rig.keys().dead("payment")).integer == 1)
        }
    }

    @Test func `a topic that is being restored is archived when that has ended`() async throws {
        try await Rig.withTwo { rig, other in
            try await rig.publish(1...3000)
            try await rig.createGroup(after: "100-0")
            try await rig.pass(segment: 500)
            let before = try bytes(of: "\(rig.folder)/test/orders/topic.json")
            try await other.restore(from: rig) { $0 < 700 }
            let archiver = try await Archiver.open(rig.topic(), on: other.broker, to: rig.folder)
            let error = await #expect(throws: ArchiveError.self) { try await archiver.pass() }
            #expect(error?.code == .refused && error?.description.contains("being restored") == true)
            #expect(try bytes(of: "\(rig.folder)/test/orders/topic.json") == before)
            try await other.restore(from: rig)
            #expect(try await archiver.pass().map(\.archived) == [0])
            await archiver.close()
        }
    }

    @Test func `one archiver a topic: another one is refused until the first is gone`() async throws {
        try await Rig.with { rig in
            try await rig.publish(1...10)
            let first = try await Archiver.open(rig.topic(), on: rig.broker, to: rig.folder)
            for folder in [rig.folder, rig.folder + "2"] {
                let error = await #expect(throws: ArchiveError.self) { try await rig.pass(to: folder) }
                #expect(error?.code == .locked, "\(error as Any)")
            }
            await first.close()
            #expect(try await rig.pass().map(\.archived) == [10])
            // One that took over while this one was frozen.
            let frozen = try await Archiver.open(rig.topic(), on: rig.broker, to: rig.folder)
            try await rig.redis("SET", "test:archiver:{orders}", "elsewhere")
            let error = await #expect(throws: ArchiveError.self) { try await frozen.pass() }
            #expect(error?.code == .locked && error?.description.contains("elsewhere") == true)
            await frozen.close()
            #expect(try await rig.redis("GET", "test:archiver:{orders}").string == "elsewhere")
        }
    }

    @Test func `retention that asks for it cuts off only what is archived`() async throws {
        try await Rig.with { rig in
            try await rig.broker.declare(
                TopicDeclaration(rig.topic(), retention: Retention(count: 10, archivedOnly: true)))
            try await rig.publish(1...1000)
            var report = try await rig.broker.enforceRetention(of: rig.topic())
            #expect(report.trimmed == 0 && report.heldBackBy.map(\.rawValue) == ["(archive)"])
            try await rig.pass()
            try await rig.publish(1001...2000)
            report = try await rig.broker.enforceRetention(of: rig.topic())
            #expect((800...999).contains(report.trimmed), "\(report)")
            #expect(report.heldBackBy.map(\.rawValue) == ["(archive)"])
            try await rig.pass()
            report = try await rig.broker.enforceRetention(of: rig.topic())
            #expect(report.trimmed > 800 && report.heldBackBy.isEmpty, "\(report)")
            let pages = History(of: rig.topic(), on: rig.broker, archive: try rig.archive)
                .pages(ofPartition: 0)
            #expect(try await rig.ids(pages) == (1...2000).map { id($0) })
        }
    }

    @Test func `the archive keeps what groups have set aside, and takes it anew when it has changed`()
        async throws
    {
        try await Rig.with { rig in
            try await rig.publish(1...3)
            try await rig.createGroup()
            let dead = rig.keys().dead("payment")
            try await rig.redis("XADD", dead, "1-0", "id", "e1", "freshetreason", "no")
            try await rig.pass()
            func file() throws -> [String] {
                try FileManager.default.contentsOfDirectory(atPath: rig.path("")).filter {
                    $0.hasPrefix("dead-")
                }
            }
            let before = try file()
            #expect(before.count == 1 && before[0].hasPrefix("dead-payment-"))
            try await rig.pass()
            #expect(try file() == before)
            try await rig.redis("XADD", dead, "2-0", "id", "e2", "freshetreason", "no")
            try await rig.pass()
            #expect(try file().count == 1 && file() != before)
            try await rig.redis("XDEL", dead, "1-0", "2-0")
            try await rig.pass()
            #expect(try file() == [])
        }
    }
}
