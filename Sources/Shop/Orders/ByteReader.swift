/// Bytes one after the other, whatever chunks they come in, and the number of the line that each stands on.
struct ByteReader {
    /// How long a row may be: a quote that is never closed must not take the rest of a file into memory.
    static let longestRow = 1 << 20
    static let newline = UInt8(ascii: "\n")

    /// The line of the byte that comes next, from 1.
    private(set) var line = 1
    private let source: () throws(OrderFileError) -> [UInt8]
    private var chunk: [UInt8] = []
    private var position = 0
    private var isAtEnd = false

    /// The bytes of these chunks; an empty one is the end.
    init(_ source: @escaping () throws(OrderFileError) -> [UInt8]) { self.source = source }

    /// The byte that comes next; nil at the end.
    mutating func peek() throws(OrderFileError) -> UInt8? {
        if position == chunk.count, !isAtEnd {
            chunk = try source()
            position = 0
            isAtEnd = chunk.isEmpty
        }
        return position < chunk.count ? chunk[position] : nil
    }

    /// Takes the byte that comes next; nil at the end.
    mutating func next() throws(OrderFileError) -> UInt8? {
        guard let byte = try peek() else { return nil }
        position += 1
        if byte == Self.newline { line += 1 }
        return byte
    }

    /// Takes the rest of this line, and gives it without its end; nil, though taken, when it is longer than a
    /// row may be.
    mutating func nextLine() throws(OrderFileError) -> [UInt8]? {
        var bytes: [UInt8] = []
        while let byte = try next(), byte != Self.newline {
            guard bytes.count < Self.longestRow else {
                try skipLine()
                return nil
            }
            bytes.append(byte)
        }
        return bytes
    }

    /// Takes the rest of this line.
    mutating func skipLine() throws(OrderFileError) {
        while let byte = try next(), byte != Self.newline {}
    }

    /// Takes spaces and ends of lines, as many as there are.
    mutating func skipBlanks() throws(OrderFileError) {
        while let byte = try peek(), byte.isBlank { _ = try next() }
    }

    /// Takes these bytes if they come next; none of them ends a line.
    mutating func skip(prefix: [UInt8]) throws(OrderFileError) {
        while chunk.count - position < prefix.count, !isAtEnd {
            let more = try source()
            isAtEnd = more.isEmpty
            chunk += more
        }
        if chunk[position...].starts(with: prefix) { position += prefix.count }
    }
}

extension UInt8 {
    /// A space, a tab, or a part of a line's end.
    var isBlank: Bool { self == 32 || self == 9 || self == 13 || self == 10 }
}
