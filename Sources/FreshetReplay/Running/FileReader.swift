internal import Freshet
internal import Glibc
internal import Hiredis

/// The entries of a file of NDJSON, as `FileOutput` writes it: a chunk at a time. Read once for each partition that is wanted.
struct FilePages {
    private let path: String
    private let topic: Topic
    private let partition: Int?
    private let range: ClosedRange<StreamID>
    private let descriptor: Descriptor
    private var rest: [UInt8] = []
    private var number = 0
    private var isAtEnd = false
    private var last = StreamID?.none

    private final class Descriptor: Sendable {
        let number: Int32
        init(_ number: Int32) { self.number = number }
        deinit { close(number) }
    }

    /// - Parameter partition: nil for all.
    init(_ path: String, of topic: Topic, partition: Int?, in range: ClosedRange<StreamID>)
        throws(FreshetError)
    {
        (self.path, self.topic, self.partition, self.range) = (path, topic, partition, range)
        let number = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard number >= 0 else { throw Self.error("cannot read", path) }
        descriptor = Descriptor(number)
    }

    /// The next entries, never none; nil at the end. Throws `invalidData` with the file and line of what is no entry.
    mutating func next() throws(FreshetError) -> [StreamEntry]? {
        while !isAtEnd {
            var chunk = [UInt8](repeating: 0, count: 1 << 18)
            let count = unsafe chunk.withUnsafeMutableBytes { bytes in
                unsafe read(descriptor.number, bytes.baseAddress, bytes.count)
            }
            guard count >= 0 else {
                if errno == EINTR { continue }
                throw Self.error("cannot read", path)
            }
            isAtEnd = count == 0
            rest += chunk[..<count]
            let end = isAtEnd ? rest.count : (rest.lastIndex(of: UInt8(ascii: "\n")).map { $0 + 1 } ?? 0)
            var found: [StreamEntry] = []
            for line in rest[..<end].split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
                .dropLast(isAtEnd ? 0 : 1)
            {
                number += 1
                if line.isEmpty { continue }
                if let entry = try entry(Array(line)), range.contains(entry.id) { found.append(entry) }
            }
            rest.removeFirst(end)
            if !found.isEmpty { return found }
        }
        return nil
    }

    /// Nil for an entry that is not meant.
    private mutating func entry(_ bytes: [UInt8]) throws(FreshetError) -> StreamEntry? {
        let line: HistoryLine
        do throws(FreshetError) { line = try HistoryLine(decoding: bytes) } catch {
            throw FreshetError(.invalidData, "\(path):\(number): \(error.message)")
        }
        guard line.topic == nil || line.topic == topic.name else { return nil }
        guard let partition else { return line.entry }
        let own =
            line.partition
            ?? topic.partition(
                ofKey: (line.entry.field("partitionkey") ?? line.entry.field("id"))?.string ?? "")
        guard own == partition else { return nil }
        // How far a replay has come is known by the id.
        if let last, line.entry.id <= last {
            throw FreshetError(
                .invalidData,
                "\(path):\(number): '\(line.entry.id)' does not come behind '\(last)': sort the lines by partition and id"
            )
        }
        last = line.entry.id
        return line.entry
    }

    private static func error(_ what: String, _ path: String) -> FreshetError {
        let reason = errno
        return FreshetError(.notFound, "\(what) '\(path)': \(unsafe String(cString: strerror(reason)))")
    }
}
