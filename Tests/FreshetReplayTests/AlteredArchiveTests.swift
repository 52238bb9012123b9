import FoundationEssentials
import Freshet
import FreshetReplay
import FreshetTesting
import Hiredis
import Testing

/// What was done to an archive of four segments, and the segment that must be named.
enum Alteration: String, CaseIterable, Sendable {
    case flippedBit, cut, grown, swapped, removed, emptied, forgedCount, forgedFirst, forgedMissing,
        reorderedRecords
    case removedRecord, removedLast, otherPartition

    var named: String {
        switch self {
        case .swapped, .flippedBit, .cut, .grown, .removed, .emptied, .forgedCount, .forgedFirst,
            .forgedMissing:
            "00000002.ndjson.zst"
        case .removedRecord, .reorderedRecords: "00000003.ndjson.zst"
        case .otherPartition: "00000001.ndjson.zst"
        case .removedLast: "manifest.json"
        }
    }

    func apply(to rig: Rig) throws {
        let (second, third) = (rig.path("00000002.ndjson.zst"), rig.path("00000003.ndjson.zst"))
        var own = try bytes(of: second)
        switch self {
        case .flippedBit:
            own[own.count / 2] ^= 1
            try write(own, to: second)
        case .cut: try write(own.dropLast(7), to: second)
        case .grown: try write(own + [0], to: second)
        case .swapped:
            try write(try bytes(of: third), to: second)
            try write(own, to: third)
        case .removed: try FileManager.default.removeItem(atPath: second)
        case .emptied: try write([], to: second)
        case .forgedCount:
            try replace("\"count\":5,\"file\":\"00000002", "\"count\":6,\"file\":\"00000002", rig)
        case .forgedFirst: try replace("\"first\":\"6-0\"", "\"first\":\"5-5\"", rig)
        case .forgedMissing:
            try records(rig) { $0[1] = $0[1].replacing("\"missing\":0", with: "\"missing\":9") }
        case .reorderedRecords: try records(rig) { $0.swapAt(1, 2) }
        case .removedRecord: try records(rig) { $0.remove(at: 1) }
        case .removedLast: try records(rig) { $0.removeLast() }
        case .otherPartition: try replace("\"partition\":0", "\"partition\":1", rig)
        }
    }

    private func write(_ bytes: some Collection<UInt8>, to path: String) throws {
        try Data(bytes).write(to: URL(filePath: path))
    }

    private func replace(_ text: String, _ new: String, _ rig: Rig) throws {
        let manifest = String(decoding: try bytes(of: rig.path("manifest.json")), as: UTF8.self)
        let altered = manifest.replacing(text, with: new)
        guard altered != manifest else { throw Unexpected(description: "nothing to alter in \(manifest)") }
        try write(altered.utf8, to: rig.path("manifest.json"))
    }

    /// Changes the list of records, each from its brace to its brace.
    private func records(_ rig: Rig, _ body: (inout [String]) -> Void) throws {
        let manifest = String(decoding: try bytes(of: rig.path("manifest.json")), as: UTF8.self)
        guard let open = manifest.firstIndex(of: "["), let end = manifest.firstIndex(of: "]") else {
            throw Unexpected(description: "no list of records")
        }
        var records = manifest[manifest.index(after: open)..<end].split(separator: "}").map { part in
            (part.first == "," ? String(part.dropFirst()) : String(part)) + "}"
        }
        body(&records)
        let altered = manifest[...open] + records.joined(separator: ",") + manifest[end...]
        try write(altered.utf8, to: rig.path("manifest.json"))
    }
}

@Suite struct AlteredArchiveTests {
    private func withArchive(_ body: (Rig, Rig) async throws -> Void) async throws {
        try await Rig.withTwo { rig, other in
            try await rig.publish(1...20)
            try await rig.pass(segment: 5)
            #expect(try rig.manifest().segments.map(\.count) == [5, 5, 5, 5])
            #expect(try await rig.problems() == [])
            try await body(rig, other)
        }
    }

    @Test(arguments: Alteration.allCases)
    func `what was altered is named, and nothing is restored from it`(alteration: Alteration) async throws {
        try await withArchive { rig, other in
            try alteration.apply(to: rig)
            let problems = try await rig.problems()
            #expect(problems.first?.contains(alteration.named) == true, "\(problems)")
            let error = await #expect(throws: ArchiveError.self) { try await other.restore(from: rig) }
            #expect(error?.code == .altered, "\(error as Any)")
            #expect(alteration == .removedLast || error?.description.contains(alteration.named) == true)
            #expect(try await other.redis("DBSIZE").integer == 0, "nothing was changed")
        }
    }

    @Test func `history gives out no entry of an altered segment`() async throws {
        try await withArchive { rig, _ in
            try await rig.redis("XTRIM", rig.keys().events, "MAXLEN", 0)
            try Alteration.flippedBit.apply(to: rig)
            var pages = History(of: rig.topic(), on: rig.broker, archive: try rig.archive).pages(
                ofPartition: 0)
            #expect(try await pages.next()?.map(\.id) == (1...5).map { id($0) })
            let error = await #expect(throws: ArchiveError.self) { try await pages.next() }
            #expect(error?.code == .altered && error?.description.contains("00000002") == true)
        }
    }

    @Test func `nothing is added to an archive whose manifest was altered`() async throws {
        try await withArchive { rig, _ in
            try Alteration.forgedCount.apply(to: rig)
            let before = try bytes(of: rig.path("manifest.json"))
            try await rig.publish([21])
            let error = await #expect(throws: ArchiveError.self) { try await rig.pass() }
            #expect(error?.code == .altered && error?.description.contains("00000002") == true)
            #expect(try bytes(of: rig.path("manifest.json")) == before)
        }
    }

    @Test func `what is known beside the entries is altered visibly as well`() async throws {
        try await withArchive { rig, other in
            let path = "\(rig.folder)/test/orders/topic.json"
            let text = String(decoding: try bytes(of: path), as: UTF8.self)
            try write(Array(text.replacing("\"archived\":20", with: "\"archived\":19").utf8), to: path)
            #expect(try await rig.problems().first?.contains("topic.json") == true)
            let error = await #expect(throws: ArchiveError.self) { try await other.restore(from: rig) }
            #expect(error?.code == .altered && error?.description.contains("topic.json") == true)
        }
    }

    @Test func `an archive that differs from the live log is found`() async throws {
        try await withArchive { rig, _ in
            let verification = ArchiveVerification(of: try rig.archive, comparedWith: rig.broker)
            #expect(try await verification.verify("test", "orders").map(\.compared) == [20])
            try await rig.redis("DEL", rig.keys().events)
            for number in 1...20 {
                try await rig.redis("XADD", rig.keys().events, "\(number)-0", "id", "other\(number)")
            }
            let problems = try await verification.verify("test", "orders").flatMap(\.problems)
            #expect(problems.first?.contains("00000001.ndjson.zst: 1-0 differs") == true, "\(problems)")
        }
    }
}
