internal import Hiredis

/// Writes one file of entries.
final class SegmentWriter {
    let path: String
    private(set) var count = 0
    private(set) var bytes = 0
    private var first = StreamID.zero
    private(set) var last = StreamID.zero
    private let file: OutputFile
    private let compressor: ZstdCompressor
    private let sha = SHA256()
    private var fileBytes = 0
    private var lines: [UInt8] = []

    /// - Parameter compressor: one that no other writer uses until this one is finished, or given up.
    init(_ path: String, compressor: ZstdCompressor) throws(ArchiveError) {
        self.path = path
        self.compressor = compressor
        file = try OutputFile(path)
        compressor.begin()
    }

    func append(_ page: [StreamEntry]) throws(ArchiveError) {
        guard let end = page.last else { return }
        if count == 0 { first = page[0].id }
        last = end.id
        lines.removeAll(keepingCapacity: true)
        for entry in page { HistoryLine.append(entry, to: &lines) }
        count += page.count
        bytes += lines.count
        try write(isLast: false)
    }

    /// Ends the file; it is on the disk when this returns.
    func finish() throws(ArchiveError) -> SegmentContents {
        lines.removeAll(keepingCapacity: true)
        try write(isLast: true)
        try file.finish()
        return SegmentContents(
            file: path.lastIndex(of: "/").map { String(path[path.index(after: $0)...]) } ?? path,
            count: count,
            first: first, last: last, bytes: bytes, fileBytes: fileBytes, sha256: sha.finish())
    }

    private func write(isLast: Bool) throws(ArchiveError) {
        try unsafe compressor.compress(lines, isLast: isLast) { part throws(ArchiveError) in
            unsafe sha.update(part)
            fileBytes += part.count
            try unsafe file.write(part)
        }
    }
}
