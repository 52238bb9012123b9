public import Hiredis

/// A file with entries of one partition in the order of the log: lines of JSON (`HistoryLine`), compressed by Zstandard.
public struct ArchiveSegment: Sendable, Hashable, Codable {
    /// Its name in the partition's folder.
    public let file: String
    /// How many entries it has.
    public let count: Int
    /// The first of them.
    public let first: StreamID
    /// The last of them.
    public let last: StreamID
    /// How many entries the log had been given when it was given the last one.
    public let added: Int
    /// How many of these, behind the last of the segment before, were gone before they could be archived.
    public let missing: Int
    /// How long its lines are.
    public let bytes: Int
    /// How long the file is.
    public let fileBytes: Int
    /// The file's SHA-256.
    public let sha256: String
    /// A SHA-256 of all of these values and of the same of the segment before.
    public let chain: String

    init(_ contents: SegmentContents, added: Int, missing: Int, after previous: String) {
        file = contents.file
        count = contents.count
        first = contents.first
        last = contents.last
        self.added = added
        self.missing = missing
        bytes = contents.bytes
        fileBytes = contents.fileBytes
        sha256 = contents.sha256
        chain = Self.chain(contents, added: added, missing: missing, after: previous)
    }

    /// What the file holds, without its place in the chain.
    var contents: SegmentContents {
        SegmentContents(
            file: file, count: count, first: first, last: last, bytes: bytes, fileBytes: fileBytes,
            sha256: sha256)
    }

    func isChained(to previous: String) -> Bool {
        chain == Self.chain(contents, added: added, missing: missing, after: previous)
    }

    private static func chain(_ own: SegmentContents, added: Int, missing: Int, after previous: String)
        -> String
    {
        SHA256.digest(
            of: """
                \(previous)
                \(own.file) \(own.count) \(own.first) \(own.last) \(added) \(missing) \(own.bytes) \(own.fileBytes) \
                \(own.sha256)
                """)
    }
}

/// What one file holds.
struct SegmentContents: Sendable, Hashable, Codable {
    let file: String
    let count: Int
    let first: StreamID
    let last: StreamID
    let bytes: Int
    let fileBytes: Int
    let sha256: String
}
