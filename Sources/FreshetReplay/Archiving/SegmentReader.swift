internal import Freshet
internal import Glibc
internal import Hiredis

/// Reads one file of entries, which is known to be what the archive says before the first entry is given out.
struct SegmentReader {
    private let contents: SegmentContents
    private let path: String
    private let file: InputFile
    private let decompressor = ZstdDecompressor()
    private var chunk = [UInt8](repeating: 0, count: 131_072)
    private var chunkEnd = 0
    private var chunkAt = 0
    private var lines: [UInt8] = []
    private var decoder = HistoryLineDecoder()
    private var count = 0
    private var bytes = 0
    private var last: StreamID?
    /// Whether the decompressor had no room for all that it has.
    private var holdsMore = false
    private var isAtEnd = false

    /// What a page holds about, in bytes of lines.
    private static let pageBytes = 262_144

    /// Throws `altered`, with the file's name, when it is missing or its length or SHA-256 is another.
    init(_ contents: SegmentContents, in folder: String) throws(ArchiveError) {
        self.contents = contents
        path = "\(folder)/\(contents.file)"
        guard let file = try InputFile(path) else { throw ArchiveError(.altered, "\(path): is missing") }
        self.file = file
        let sha = SHA256()
        var length = 0
        while case let count = try file.read(into: &chunk), count > 0 {
            length += count
            unsafe chunk.withUnsafeBytes { unsafe sha.update(UnsafeRawBufferPointer(rebasing: $0[..<count])) }
        }
        guard length == contents.fileBytes else {
            throw ArchiveError(
                .altered, "\(path): has \(length) bytes, and the manifest says \(contents.fileBytes)")
        }
        guard sha.finish() == contents.sha256 else {
            throw ArchiveError(.altered, "\(path): its SHA-256 is not the one in the manifest")
        }
        try file.rewind()
    }

    /// The next entries; nil behind the last. Throws `altered` for lines that are not what the manifest says.
    mutating func nextPage() throws(ArchiveError) -> [StreamEntry]? {
        let whole = try nextLines()
        guard whole > 0 else {
            try checkTotals()
            return nil
        }
        var start = 0
        while let end = newline(from: start, to: whole) {
            do throws(FreshetError) {
                _ = try decoder.add(lines, in: start..<end)
            } catch { throw altered("line \(count + decoder.count + 1): \(error.message)") }
            start = end + 1
        }
        lines.removeSubrange(..<whole)
        let page = decoder.takeEntries()
        for entry in page {
            guard last.map({ $0 < entry.id }) ?? (entry.id == contents.first) else {
                throw altered("\(entry.id) stands behind \(last?.description ?? "nothing")")
            }
            last = entry.id
        }
        count += page.count
        return page
    }

    /// Reads to the end without looking into the lines but for the first and the last one: for what was written a moment ago.
    mutating func checkFrame() throws(ArchiveError) {
        while case let whole = try nextLines(), whole > 0 {
            let isFirst = count == 0
            var (start, lastLine) = (0, 0..<0)
            while let end = newline(from: start, to: whole) {
                count += 1
                lastLine = start..<end
                start = end + 1
            }
            if isFirst, let end = newline(from: 0, to: whole), try id(0..<end) != contents.first {
                throw altered("begins with another entry than the manifest says")
            }
            last = try id(lastLine)
            lines.removeSubrange(..<whole)
        }
        try checkTotals()
    }

    private mutating func id(_ range: Range<Int>) throws(ArchiveError) -> StreamID? {
        do throws(FreshetError) {
            _ = try decoder.add(lines, in: range)
        } catch { throw altered(error.message) }
        return decoder.takeEntries().first?.id
    }

    private func checkTotals() throws(ArchiveError) {
        guard count == contents.count else {
            throw altered("has \(count) entries, and the manifest says \(contents.count)")
        }
        guard last == contents.last else {
            throw altered(
                "ends with \(last?.description ?? "nothing"), and the manifest says \(contents.last)")
        }
        guard bytes == contents.bytes else {
            throw altered("has \(bytes) bytes of lines, and the manifest says \(contents.bytes)")
        }
    }

    /// Sees to it that there is at least one whole line; returns how many bytes whole lines have, 0 at the end.
    private mutating func nextLines() throws(ArchiveError) -> Int {
        var searched = 0
        while true {
            if lines.count >= Self.pageBytes || isAtEnd,
                let newline = lines[searched...].lastIndex(of: UInt8(ascii: "\n"))
            {
                return newline + 1
            }
            if isAtEnd {
                guard lines.isEmpty else { throw altered("its last line does not end") }
                return 0
            }
            if lines.count >= Self.pageBytes { searched = lines.count }
            try fill()
        }
    }

    private func newline(from start: Int, to end: Int) -> Int? {
        unsafe lines.withUnsafeBytes { all in
            guard start < end, let base = all.baseAddress,
                let found = unsafe memchr(base + start, Int32(UInt8(ascii: "\n")), end - start)
            else { return nil }
            return unsafe UnsafeRawPointer(found) - base
        }
    }

    private mutating func fill() throws(ArchiveError) {
        if chunkAt == chunkEnd, !holdsMore {
            (chunkAt, chunkEnd) = (0, try file.read(into: &chunk))
            if chunkEnd == 0 {
                guard decompressor.isAtEnd else { throw altered("ends in the middle") }
                isAtEnd = true
                return
            }
        }
        let added = decompressor.decompress(
            chunk, upTo: chunkEnd, from: &chunkAt, into: &lines, room: Self.pageBytes)
        guard let added else { throw altered("cannot be decompressed") }
        bytes += added
        holdsMore = added == Self.pageBytes
    }

    private func altered(_ what: String) -> ArchiveError { ArchiveError(.altered, "\(path): \(what)") }
}
