/// The rows of a CSV file as RFC 4180 has them; lines end with CRLF or LF. Knows nothing of what a row means.
struct CSVRows {
    private enum State {
        case start, plain, quoted, closed, returned
    }
    private enum Byte {
        static let quote = UInt8(ascii: "\"")
        static let comma = UInt8(ascii: ",")
        static let carriageReturn = UInt8(ascii: "\r")
    }
    private var bytes: ByteReader

    init(_ bytes: ByteReader) { self.bytes = bytes }

    /// The next row that is not blank; nil at the end. After a malformed row it goes on with the next line.
    mutating func next() throws(OrderFileError) -> CSVRow? {
        while try bytes.peek() != nil {
            let row = try readRow()
            if !row.isBlank { return row }
        }
        return nil
    }

    private mutating func readRow() throws(OrderFileError) -> CSVRow {
        var row = CSVRow(line: bytes.line)
        var (state, length, field) = (State.start, 0, [UInt8]())
        while true {
            let line = bytes.line
            guard let byte = try bytes.next() else { break }
            length += 1
            if length > ByteReader.longestRow {
                return try malformed(
                    &row, "longer than \(ByteReader.longestRow) bytes", at: line, after: byte)
            }
            switch (state, byte) {
            case (.quoted, Byte.quote): state = .closed
            case (.quoted, _): field.append(byte)
            case (.closed, Byte.quote):
                field.append(byte)
                state = .quoted
            case (_, ByteReader.newline):
                row.append(field)
                row.spansLines = line != row.line
                return row
            case (.returned, _):
                return try malformed(&row, "a carriage return that ends no line", at: line, after: byte)
            case (_, Byte.comma):
                row.append(field)
                field.removeAll(keepingCapacity: true)
                state = .start
            case (_, Byte.carriageReturn): state = .returned
            case (.start, Byte.quote):
                row.isQuoted = true
                state = .quoted
            case (.plain, Byte.quote):
                return try malformed(
                    &row, "a quote in a field that begins without one", at: line, after: byte)
            case (.closed, _):
                return try malformed(&row, "text after a closing quote", at: line, after: byte)
            case (.start, _), (.plain, _):
                field.append(byte)
                state = .plain
            }
        }
        if state == .quoted {
            row.fail("a quote that is never closed", at: row.line)
        } else {
            row.append(field)
        }
        return row
    }

    /// Takes the rest of the line that the row went wrong on.
    private mutating func malformed(_ row: inout CSVRow, _ problem: String, at line: Int, after byte: UInt8)
        throws(OrderFileError) -> CSVRow
    {
        if byte != ByteReader.newline { try bytes.skipLine() }
        row.fail(problem, at: line)
        return row
    }
}

/// One row of a CSV file.
struct CSVRow {
    /// The line it begins on, from 1.
    let line: Int
    /// The fields, without their quotes; of a malformed row those before the place where it went wrong.
    var fields: [String] = []
    /// Why it is no row.
    var problem: String?
    /// Whether a line ends within it.
    fileprivate(set) var spansLines = false
    /// Whether it is a bad row over several lines: a quote too many may have taken other rows into it.
    var isRunaway = false
    fileprivate var isQuoted = false

    init(line: Int) { self.line = line }

    /// Whether there is nothing in it.
    var isBlank: Bool { problem == nil && fields == [""] && !isQuoted }

    fileprivate mutating func append(_ field: [UInt8]) {
        if let text = String(validating: field, as: UTF8.self) {
            fields.append(text)
        } else {
            fields.append(String(decoding: field, as: UTF8.self))
            problem = problem ?? "field \(fields.count) is not UTF-8"
        }
    }

    fileprivate mutating func fail(_ problem: String, at line: Int) {
        isRunaway = line != self.line
        self.problem = isRunaway ? "\(problem) (on line \(line))" : problem
    }
}
