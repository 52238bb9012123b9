import Freshet
import FreshetReplay
import FreshetTesting
import Hiredis
import Testing

@Suite struct ArchivedHistoryTests {
    private func pages(_ rig: Rig, _ range: ClosedRange<StreamID> = .zero ... .newest) throws -> HistoryPages
    {
        History(of: rig.topic(), on: rig.broker, archive: try rig.archive).pages(ofPartition: 0, in: range)
    }

    private func ids(_ numbers: ClosedRange<UInt64>) -> [StreamID] { numbers.map { id($0) } }

    @Test func `archive and log are one history, for every range`() async throws {
        try await Rig.with { rig in
            try await rig.publish(1...40)
            try await rig.pass(segment: 7)
            try await rig.publish(41...60)
            try await rig.redis("XTRIM", rig.keys().events, "MINID", "25-0")
            for range in [1...60, 1...10, 5...30, 24...25, 25...60, 26...26, 41...60, 10...24]
                as [ClosedRange<UInt64>]
            {
                let found = try await rig.ids(pages(rig, id(range.lowerBound)...id(range.upperBound)))
                #expect(found == ids(range), "\(range)")
            }
            #expect(try await rig.ids(pages(rig)) == ids(1...60))
            #expect(try await rig.ids(pages(rig, id(61)...id(90))) == [])
        }
    }

    @Test func `retention that cuts the log off while it is read makes no gap and no repeat`() async throws {
        try await Rig.with { rig in
            try await rig.publish(1...5000)
            try await rig.pass(segment: 300)
            var (pages, found, round) = (try pages(rig), [StreamID](), 1)
            while let page = try await pages.next() {
                found += page.map(\.id)
                // Past what was read, and within what the archive has.
                try await rig.redis(
                    "XTRIM", rig.keys().events, "MINID", "\(min(5000, found.count + 200 * round))-0")
                round += 1
            }
            #expect(found == ids(1...5000))
        }
    }

    @Test func `a log that was cut off behind the archive's end is said, and not passed over`() async throws {
        try await Rig.with { rig in
            try await rig.publish(1...20)
            try await rig.pass()
            try await rig.publish(21...40)
            try await rig.redis("XTRIM", rig.keys().events, "MINID", "31-0")
            var pages = try pages(rig)
            #expect(try await pages.next()?.count == 20)
            let error = await #expect(throws: ArchiveError.self) { try await pages.next() }
            #expect(error?.code == .lost && error?.description.contains("20-0") == true, "\(error as Any)")
            // Once the archive has counted them as missing, the history goes on behind them.
            #expect(try await rig.pass().map(\.missing) == [10])
            #expect(try await rig.ids(self.pages(rig)) == ids(1...20) + ids(31...40))
        }
    }

    @Test func `an archiver at work beside a reader hides nothing from it`() async throws {
        try await Rig.with { rig in
            try await rig.publish(1...100)
            try await rig.pass(segment: 40)
            var pages = try pages(rig)
            var found = try await pages.next()?.map(\.id) ?? []
            for first in stride(from: 101, to: 200, by: 10) {
                try await rig.publish(first...first + 9)
                try await rig.pass(segment: 40)
                try await rig.redis("XTRIM", rig.keys().events, "MINID", "\(first)-0")
                found += try await pages.next()?.map(\.id) ?? []
            }
            found += try await rig.ids(pages)
            #expect(found == ids(1...200))
        }
    }

    @Test func `a topic that only the archive has is read from there`() async throws {
        try await Rig.with { rig in
            try await rig.publish(1...10)
            try await rig.pass()
            try await rig.redis("FLUSHALL")
            #expect(try await rig.ids(pages(rig)) == ids(1...10))
        }
    }
}
