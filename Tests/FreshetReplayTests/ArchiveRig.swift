import FoundationEssentials
import Freshet
import FreshetReplay
import FreshetTesting
import Hiredis

/// Archives of one test, in its server's folder.
extension Rig {
    var folder: String { "\(server.folder)/archive" }
    var archive: Archive { get throws { try Archive(folder) } }

    func topic(partitions: Int = 1) -> Topic { Topic("orders", partitions: partitions) }

    /// One pass of an archiver of its own.
    @discardableResult
    func pass(_ topic: Topic? = nil, segment: Int = 250_000, to other: String? = nil) async throws
        -> [ArchiveReport]
    {
        var options = ArchiverOptions()
        options.segmentEvents = segment
        let archiver = try await Archiver.open(
            topic ?? self.topic(), on: broker, to: other ?? folder, options: options)
        do {
            let reports = try await archiver.pass()
            await archiver.close()
            return reports
        } catch {
            await archiver.close()
            throw error
        }
    }

    func verify(_ other: String? = nil) async throws -> [ArchiveVerification.Report] {
        try await ArchiveVerification(of: Archive(other ?? folder)).verify("test", "orders")
    }

    func problems(_ other: String? = nil) async throws -> [String] {
        try await verify(other).flatMap(\.problems)
    }

    func manifest(_ partition: Int = 0) throws -> ArchivePartition {
        guard let manifest = try archive.partition("test", "orders", partition) else {
            throw Unexpected(description: "no manifest")
        }
        return manifest
    }

    func path(_ file: String, partition: Int = 0) -> String { "\(folder)/test/orders/\(partition)/\(file)" }

    func ids(_ pages: HistoryPages) async throws -> [StreamID] {
        var (pages, ids) = (pages, [StreamID]())
        while let page = try await pages.next() {
            if page.isEmpty { throw Unexpected(description: "an empty page") }
            ids += page.map(\.id)
        }
        return ids
    }

    /// A stream as `XRANGE` shows it.
    func contents(_ key: String) async throws -> [[[UInt8]]] {
        try await client.send(.xrange(key)).map { entry in
            [Array("\(entry.id)".utf8)] + entry.fields.compactMap { $0.bytes?.array }
        }
    }

    /// What XINFO STREAM says, without what depends on how the server stores it.
    func numbers(_ key: String) async throws -> StreamInfo { try await client.send(.xinfoStream(key)) }
}

extension Rig {
    /// Two servers: the second one is where a topic is restored.
    static func withTwo(_ body: (Rig, Rig) async throws -> Void) async throws {
        try await with { first in
            try await with { second in try await body(first, second) }
        }
    }

    func restore(from other: Rig, _ topic: TopicName = "orders", onProgress: (Int) -> Bool = { _ in true })
        async throws
    {
        let restoration = try await Restoration(of: topic, from: other.archive, on: broker)
        _ = try await restoration.run(onProgress: onProgress)
    }
}

func bytes(of path: String) throws -> [UInt8] { Array(try Data(contentsOf: URL(filePath: path))) }
func write(_ bytes: [UInt8], to path: String) throws { try Data(bytes).write(to: URL(filePath: path)) }
