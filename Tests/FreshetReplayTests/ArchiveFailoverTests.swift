import Freshet
import FreshetReplay
import FreshetTesting
import Hiredis
import Testing

/// Archives of a log that has lost its last entries.
@Suite struct ArchiveFailoverTests {
    /// A server that knows nothing behind this entry, as a replica that lagged.
    private func lose(behind last: Int, _ rig: Rig) async throws {
        try await rig.redis("DEL", rig.keys().events)
        try await rig.publish(1...last)
    }

    @Test(arguments: [1, 5, 40])
    func `what comes after a failover is archived, and a gap after it is seen`(more: Int) async throws {
        try await Rig.with { rig in
            try await rig.publish(1...100)
            try await rig.pass(segment: 30)
            try await lose(behind: 90, rig)
            try await rig.publish(101..<101 + more)
            let reports = try await rig.pass(segment: 30)
            #expect(reports.map(\.archived) == [more] && reports.map(\.missing) == [0])
            #expect(reports[0].notes.count == 1, "\(reports[0].notes)")
            #expect(reports[0].notes.first?.contains("10 events up to 100-0") == true, "\(reports[0].notes)")
            #expect(try rig.manifest().segments.last?.added == 90 + more)
            #expect(try await rig.problems() == [])
            #expect(try await rig.pass().flatMap(\.notes) == [])
            try await rig.publish(201...220)
            try await rig.redis("XTRIM", rig.keys().events, "MINID", "208-0")
            #expect(try await rig.pass().map(\.missing) == [7])
            #expect(try rig.manifest().segments.last?.added == 110 + more)
        }
    }

    @Test func `with nothing new after a failover the archive waits, and goes on behind its end`()
        async throws
    {
        try await Rig.with { rig in
            try await rig.publish(1...100)
            try await rig.pass()
            try await lose(behind: 90, rig)
            let archiver = try await Archiver.open(rig.topic(), on: rig.broker, to: rig.folder)
            #expect(try await archiver.pass().flatMap(\.notes).count == 1)
            #expect(try await archiver.pass().flatMap(\.notes) == [])
            #expect(try rig.manifest().segments.last?.added == 90)
            // A clock that is behind: these stand where the archive has others.
            try await rig.redis("XADD", rig.keys().events, "95-5", "id", "late")
            try await rig.redis("XADD", rig.keys().events, "96-5", "id", "late")
            let late = try await archiver.pass()
            #expect(late[0].missing == 0 && late[0].notes.last?.contains("2 events") == true)
            #expect(try rig.manifest().count == 102 && rig.manifest().last == id(100))
            #expect(try await archiver.pass().map(\.missing) == [0])
            await archiver.close()
            #expect(try await rig.pass().map(\.missing) == [0])
            try await rig.publish(101...103)
            let reports = try await rig.pass()
            #expect(reports.map(\.archived) == [3] && reports.map(\.missing) == [0])
            #expect(try rig.manifest().segments.last?.added == 95 && rig.manifest().missing == 0)
            #expect(try await rig.problems() == [])
        }
    }

    @Test func `retention cuts off nothing that the archive does not have, after a loss either`() async throws
    {
        try await Rig.with { rig in
            var declaration = TopicDeclaration(rig.topic())
            declaration.retention = Retention(count: 1, archivedOnly: true)
            try await rig.broker.declare(declaration)
            try await rig.publish(1...1000)
            try await rig.pass(segment: 300)
            try await lose(behind: 500, rig)
            // A clock that is behind: the archive has other entries around these.
            for number in 600..<900 where number % 3 == 0 {
                try await rig.redis("XADD", rig.keys().events, "\(number)-7", "id", "late\(number)")
            }
            try await rig.publish(1001...1500)
            try await rig.pass(segment: 300)
            var ids: Set<String> = []
            for entry in try await rig.client.send(.xrange(rig.keys().events)) {
                ids.insert(entry.field("id")?.string ?? "")
            }
            #expect(ids.count == 1100)
            #expect(try await rig.broker.enforceRetention(of: rig.topic()).trimmed > 1000)
            var pages = History(of: rig.topic(), on: rig.broker, archive: try rig.archive).pages(
                ofPartition: 0)
            while let page = try await pages.next() {
                for entry in page { ids.remove(entry.field("id")?.string ?? "") }
            }
            #expect(ids == [], "each event of the log is still somewhere")
            #expect(try await rig.problems() == [])
        }
    }

    @Test func `what an archive kept through a failover is restored, and archived on without a gap`()
        async throws
    {
        try await Rig.withTwo { rig, other in
            try await rig.publish(1...100)
            try await rig.pass()
            try await lose(behind: 90, rig)
            try await rig.publish(101...105)
            try await rig.pass()
            try await other.restore(from: rig)
            let info = try await other.numbers(rig.keys().events)
            #expect(info.length == 105 && info.entriesAdded == 105)
            let archiver = try await Archiver.open(rig.topic(), on: other.broker, to: rig.folder)
            #expect(try await archiver.pass().map(\.missing) == [0])
            try await other.publish(106...110)
            let reports = try await archiver.pass()
            #expect(reports.map(\.archived) == [5] && reports.map(\.missing) == [0])
            #expect(reports.flatMap(\.notes) == [])
            await archiver.close()
        }
    }
}
