internal import FoundationEssentials
public import Freshet
public import Hiredis

/// What an archive says of one partition: its segments, in the order of the log.
///
/// It stands in the partition's `manifest.json`. Each segment's record is chained to the one before, so that none can be
/// changed, taken out or moved without changing all that follow.
public struct ArchivePartition: Sendable, Codable {
    /// The version of the format, 1.
    public let format: Int
    /// The namespace.
    public let namespace: Namespace
    /// The topic.
    public let topic: TopicName
    /// The partition, from 0.
    public let partition: Int
    /// Its segments.
    public internal(set) var segments: [ArchiveSegment] = []

    init(_ namespace: Namespace, _ topic: TopicName, _ partition: Int) {
        format = 1
        self.namespace = namespace
        self.topic = topic
        self.partition = partition
    }

    /// How many entries it has.
    public var count: Int { segments.reduce(0) { $0 + $1.count } }
    /// How many entries were gone before they could be archived.
    public var missing: Int { segments.reduce(0) { $0 + $1.missing } }
    /// The oldest entry; nil when there is none.
    public var first: StreamID? { segments.first?.first }
    /// The newest entry; nil when there is none.
    public var last: StreamID? { segments.last?.last }

    /// What the first segment's record is chained to: a manifest of another partition does not fit.
    private var root: String { "\(format) \(namespace) \(topic) \(partition)" }

    mutating func append(_ contents: SegmentContents, added: Int, missing: Int) {
        segments.append(
            ArchiveSegment(contents, added: added, missing: missing, after: segments.last?.chain ?? root))
    }

    /// Puts one file in the place of the last so many.
    mutating func replaceLast(_ count: Int, with contents: SegmentContents) {
        let replaced = segments.suffix(count)
        let (added, missing) = (replaced.last?.added ?? 0, replaced.reduce(0) { $0 + $1.missing })
        segments.removeLast(count)
        append(contents, added: added, missing: missing)
    }

    /// Says anew how many entries the log had been given up to the end, and how many more of these are missing.
    mutating func amendLast(added: Int, missing more: Int) {
        guard let last = segments.popLast() else { return }
        append(last.contents, added: added, missing: last.missing + more)
    }

    /// A name that no file in the folder has, greater than all of them.
    var nextFile: String {
        let last = segments.last.flatMap { Int($0.file.prefix { $0 != "." }) } ?? 0
        let digits = "\(last + 1)"
        return String(repeating: "0", count: max(0, 8 - digits.count)) + digits + ".ndjson.zst"
    }

    // MARK: - On the disk

    static let fileName = "manifest.json"

    /// Nil when the folder has none. Throws `altered` for one that cannot be, with the name of the segment.
    static func load(_ folder: String) throws(ArchiveError) -> ArchivePartition? {
        let path = "\(folder)/\(fileName)"
        guard let bytes = try ArchiveStorage.read(path) else { return nil }
        let manifest: ArchivePartition
        do { manifest = try JSONDecoder().decode(Self.self, from: Data(bytes)) } catch {
            throw ArchiveError(.altered, "\(path): cannot be read as a manifest")
        }
        guard manifest.format == 1 else {
            throw ArchiveError(.refused, "\(path): format \(manifest.format) is not known")
        }
        try manifest.check(folder)
        return manifest
    }

    func save(_ folder: String) throws(ArchiveError) {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        guard let data = try? encoder.encode(self) else {
            throw ArchiveError(.storage, "the manifest of '\(folder)' cannot be written as JSON")
        }
        try ArchiveStorage.replace("\(folder)/\(Self.fileName)", with: Array(data) + [UInt8(ascii: "\n")])
    }

    private func check(_ folder: String) throws(ArchiveError) {
        var previous: ArchiveSegment?
        for segment in segments {
            func altered(_ what: String) -> ArchiveError {
                ArchiveError(.altered, "\(folder)/\(segment.file): \(what)")
            }
            guard segment.isChained(to: previous?.chain ?? root) else {
                throw altered(
                    "its record in the manifest was altered, or the record before it was altered, moved or taken out"
                )
            }
            guard segment.count > 0, segment.first <= segment.last, segment.missing >= 0,
                previous.map({ $0.last < segment.first }) ?? true, !segment.file.contains("/")
            else { throw altered("its record in the manifest cannot be true") }
            previous = segment
        }
    }
}
