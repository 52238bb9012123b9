internal import FoundationEssentials
public import Freshet
public import Hiredis

/// What an archive knows of a topic beside its entries, as of its last pass: what was declared, where groups stood, and what
/// they had set aside. It stands in the topic's `topic.json`.
public struct ArchivedTopic: Sendable, Codable {
    /// Where a group stood in one partition.
    public struct Group: Sendable, Hashable, Codable {
        /// The group.
        public var name: GroupName { GroupName(unchecked: group) }
        // As text: one that another client made may have a name that Freshet would refuse.
        private let group: String
        /// The last entry that it had been given.
        public let delivered: StreamID
        /// The oldest entry that it had been given and not settled: held, waiting for a retry, or to be seen again.
        public let oldestUnsettled: StreamID?
        /// How many entries it had been given since the beginning, by the server's count; nil when it did not know.
        public let entriesRead: Int?
        /// Whether the group was there: one that was declared only is made by its first consumer.
        public let isMade: Bool

        init(
            _ name: GroupName, delivered: StreamID, oldestUnsettled: StreamID?, entriesRead: Int?,
            isMade: Bool
        ) {
            group = name.rawValue
            self.delivered = delivered
            self.oldestUnsettled = oldestUnsettled
            self.entriesRead = entriesRead
            self.isMade = isMade
        }

        /// The last entry before all that it has not settled.
        public var position: StreamID {
            guard let oldestUnsettled, oldestUnsettled <= delivered else { return delivered }
            return oldestUnsettled.predecessor ?? .zero
        }
    }

    /// Events that a group had set aside.
    public struct SetAsideFile: Sendable, Hashable, Codable {
        /// The group.
        public var group: GroupName { GroupName(unchecked: name) }
        /// `dead` or `invalid`.
        public let kind: String
        let contents: SegmentContents
        let log: Log
        private let name: String

        private enum CodingKeys: String, CodingKey {
            case kind, contents, log
            case name = "group"
        }

        init(_ group: GroupName, _ kind: SetAside, _ contents: SegmentContents, _ log: Log) {
            name = group.rawValue
            self.kind = kind.rawValue
            self.contents = contents
            self.log = log
        }
    }

    /// What a stream says of itself.
    public struct Log: Sendable, Hashable, Codable {
        /// How many entries it had.
        public let length: Int
        /// The newest id that it had given out.
        public let lastGeneratedID: StreamID
        /// How many entries were ever added; nil before Redis 7.
        public let entriesAdded: Int?
        /// The newest entry that was deleted or cut off; nil before Redis 7.
        public let maxDeletedID: StreamID?

        init(_ info: StreamInfo) {
            length = info.length
            lastGeneratedID = info.lastGeneratedID
            entriesAdded = info.entriesAdded
            maxDeletedID = info.newestDeletedID
        }
    }

    /// One partition.
    public struct Partition: Sendable, Hashable, Codable {
        /// Its log; nil when there was none.
        public var log: Log?
        /// How many entries the archive had of it.
        public var archived: Int
        /// The last of them.
        public var last: StreamID?
        /// The groups.
        public var groups: [Group]
        /// What they had set aside.
        public var setAside: [SetAsideFile]
        /// Events that wait for the moment when they are published; nil when there were none.
        var scheduled: SegmentContents?

        /// How many entries were given behind the last archived one and are gone; nil when there are none. The next segment
        /// counts them.
        var lost: Int?

        /// How many entries are missing in all.
        func missing(beside manifest: ArchivePartition?) -> Int {
            (manifest?.missing ?? 0) + (manifest?.last == last ? lost ?? 0 : 0)
        }

        /// The files beside the segments.
        var files: [SegmentContents] { setAside.map(\.contents) + (scheduled.map { [$0] } ?? []) }
    }

    /// The version of the format, 1.
    public let format: Int
    /// The namespace.
    public let namespace: Namespace
    /// The topic.
    public let topic: TopicName
    /// When it was looked at, by the server's clock.
    public let savedAt: String
    /// The topic's hash: partitions, kind, retention, where groups start.
    public let declaration: [String: String]
    /// Its partitions.
    public let partitions: [Partition]
    /// Which archive this is, by chance; nil when an older archiver has written it. What is archived is said by this name.
    let archive: String?
    /// A SHA-256 of all of this.
    private var sha256 = ""

    init(
        _ namespace: Namespace, _ topic: TopicName, savedAt: String, declaration: [String: String],
        partitions: [Partition], archive: String
    ) {
        format = 1
        self.namespace = namespace
        self.topic = topic
        self.savedAt = savedAt
        self.declaration = declaration
        self.partitions = partitions
        self.archive = archive
    }

    /// A name for an archive that no other one has.
    static func newArchive() -> String {
        String(UInt64.random(in: .min ... .max), radix: 36)
            + String(UInt64.random(in: .min ... .max), radix: 36)
    }

    // MARK: - On the disk

    static let fileName = "topic.json"

    /// Nil when the folder has none. Throws `altered` for one that is not as it was written.
    static func load(_ folder: String) throws(ArchiveError) -> ArchivedTopic? {
        let path = "\(folder)/\(fileName)"
        guard let bytes = try ArchiveStorage.read(path) else { return nil }
        guard let topic = try? JSONDecoder().decode(Self.self, from: Data(bytes)), topic.format == 1 else {
            throw ArchiveError(.altered, "\(path): cannot be read")
        }
        guard topic.sha256 == topic.digest() else {
            throw ArchiveError(.altered, "\(path): its SHA-256 is not the one that it says")
        }
        return topic
    }

    func save(_ folder: String) throws(ArchiveError) {
        var own = self
        own.sha256 = digest()
        try ArchiveStorage.replace("\(folder)/\(Self.fileName)", with: own.encoded() + [UInt8(ascii: "\n")])
    }

    private func digest() -> String {
        var bare = self
        bare.sha256 = ""
        return SHA256.digest(of: String(decoding: bare.encoded(), as: UTF8.self))
    }

    private func encoded() -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        do { return Array(try encoder.encode(self)) } catch {
            preconditionFailure("texts and numbers that are no JSON: \(error)")
        }
    }
}
