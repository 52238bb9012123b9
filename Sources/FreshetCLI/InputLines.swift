internal import FreshetService
internal import Glibc

/// The lines of standard input, as they come: a chunk of whole lines at a time, so that a slow writer's lines are not
/// held back and memory does not grow with the input.
struct InputLines {
    private var rest: [UInt8] = []
    private var number = 0
    private var isAtEnd = false

    /// The server's own limit for a value is 512 MB; an event of that size is a file that is no NDJSON.
    private static let longest = 64 * 1024 * 1024

    /// The next lines, without their ends; nil at the end of the input.
    mutating func next() throws(ToolError) -> [(number: Int, line: [UInt8])]? {
        while !isAtEnd {
            var lines: [(number: Int, line: [UInt8])] = []
            var chunk = [UInt8](repeating: 0, count: 65_536)
            let count = unsafe chunk.withUnsafeMutableBytes { unsafe read(0, $0.baseAddress, $0.count) }
            guard count >= 0 else {
                if errno == EINTR { continue }
                throw ToolError(
                    .failed, "cannot read standard input: \(unsafe String(cString: strerror(errno)))")
            }
            isAtEnd = count == 0
            for part in chunk[..<count].split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
                .enumerated()
            {
                if part.offset > 0 { lines.append(take()) }
                rest += part.element
            }
            guard rest.count <= Self.longest else {
                throw ToolError(.badData, "-:\(number + 1): longer than \(Self.longest) bytes")
            }
            if isAtEnd, !rest.isEmpty { lines.append(take()) }
            if !lines.isEmpty { return lines }
        }
        return nil
    }

    private mutating func take() -> (number: Int, line: [UInt8]) {
        if rest.last == UInt8(ascii: "\r") { rest.removeLast() }
        // A byte order mark, as some editors write it.
        if number == 0, rest.starts(with: [0xef, 0xbb, 0xbf]) { rest.removeFirst(3) }
        number += 1
        defer { rest = [] }
        return (number, rest)
    }
}
