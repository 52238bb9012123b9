import Freshet
import FreshetTesting
import Hiredis
import Testing

@Suite struct EntriesTests {
    private func ids(_ entries: StreamEntries) async throws -> [StreamID] {
        var ids: [StreamID] = []
        for try await entry in entries { ids.append(entry.id) }
        return ids
    }

    @Test func `all entries come once and in order, whatever the page`() async throws {
        try await Rig.with { rig in
            try await rig.fill(rig.log(), 1...1000)
            for pageSize in [1, 7, 256, 5000] {
                let found = try await ids(rig.broker.entries(of: rig.log(), pageSize: pageSize))
                #expect(found == (1...1000).map { id($0) }, "\(pageSize)")
            }
            #expect(try await ids(rig.broker.entries(of: "none")).isEmpty)
        }
    }

    @Test func `both ends belong to a range`() async throws {
        try await Rig.with { rig in
            try await rig.fill(rig.log(), 1...10)
            try await rig.redis("XADD", rig.log(), "10-1", "a", "b")
            try await rig.redis("XADD", rig.log(), StreamID.newest.description, "a", "b")
            let entries = { (range: ClosedRange<StreamID>) in rig.broker.entries(of: rig.log(), in: range) }
            #expect(try await ids(entries(id(3)...id(5))) == [id(3), id(4), id(5)])
            #expect(try await ids(entries(id(10)...id(10))) == [id(10)])
            #expect(try await ids(entries(id(9, 1)...id(10, 1))) == [id(10), id(10, 1)])
            #expect(try await ids(entries(id(11)...id(99))).isEmpty)
            #expect(try await ids(entries(id(10, 1) ... .newest)) == [id(10, 1), .newest])
        }
    }

    @Test func `entries are as they were added, and the last of equal names counts`() async throws {
        try await Rig.with { rig in
            let raw: [UInt8] = [0xff, 0x00, 0x0d, 0x0a]
            try await rig.redis("XADD", rig.log(), "1-0", "id", "1", "raw", raw, "id", "2")
            for try await entry in rig.broker.entries(of: rig.log()) {
                #expect(
                    entry.fields.map { $0.bytes?.array ?? [] }
                        == ["id", "1", "raw", "-", "id", "2"].map {
                            $0 == "-" ? raw : Array($0.utf8)
                        })
                #expect(entry.field("id")?.string == "2")
                #expect(entry.field("i") == nil)
            }
        }
    }

    @Test func `large entries come a few at a time`() async throws {
        try await Rig.with { rig in
            let large = [UInt8](repeating: 0x61, count: 3_000_000)
            for number in 1...40 { try await rig.redis("XADD", rig.log(), "\(number)-0", "data", large) }
            var pages = rig.broker.entries(of: rig.log()).makeAsyncIterator()
            var sizes: [Int] = []
            while let page = try await pages.nextPage() { sizes.append(page.count) }
            #expect(sizes.reduce(0, +) == 40)
            #expect(sizes.dropFirst().allSatisfy { $0 == 1 }, "\(sizes)")
        }
    }

    @Test func `new entries of all partitions are waited for`() async throws {
        try await Rig.with { rig in
            let topic = Topic("orders", partitions: 2)
            let reader = rig.client.dedicated()
            defer { reader.close() }
            var positions = [StreamID.zero, id(1)]
            try await rig.fill(rig.log("orders", 1), [1])
            let none = try await rig.broker.newEntries(
                of: topic, after: &positions, waiting: .milliseconds(20), on: reader)
            #expect(none.isEmpty)
            try await rig.fill(rig.log("orders", 0), [5])
            try await rig.fill(rig.log("orders", 1), [2])
            let two = try await rig.broker.newEntries(
                of: topic, after: &positions, waiting: .seconds(10), on: reader)
            #expect(two.map(\.entry.id) == [id(5), id(2)])
            #expect(two.map(\.partition) == [0, 1])
            #expect(positions == [id(5), id(2)])
        }
    }
}
