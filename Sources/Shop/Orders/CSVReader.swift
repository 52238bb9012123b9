/// Records of a CSV file (RFC 4180): quoted fields may hold commas, quotes and line ends; lines end with LF or CRLF.
///
/// Our own because the package at hand, SwiftCSV, loads the whole file and knows no line numbers.
struct CSVReader {
    struct Record {
        /// The line on which it begins, from 1.
        let line: Int
        let fields: [[UInt8]]
        /// What is wrong with its quotes, if something is.
        let fault: String?
    }

    private let bytes: ByteReader
    private var line = 1

    init(_ bytes: ByteReader) { self.bytes = bytes }

    /// The next record; blank lines are passed over. Nil at the end.
    mutating func next() -> Record? {
        while let byte = bytes.peek(), byte == UInt8(ascii: "\n") || byte == UInt8(ascii: "\r") {
            _ = bytes.next()
            if byte == UInt8(ascii: "\n") { line += 1 }
        }
        guard bytes.peek() != nil else { return nil }
        let start = line
        var fields: [[UInt8]] = []
        var field: [UInt8] = []
        var (isQuoted, wasQuoted) = (false, false)
        var fault: String?
        while let byte = bytes.next() {
            if byte == UInt8(ascii: "\n") { line += 1 }
            if isQuoted {
                if byte != UInt8(ascii: "\"") {
                    field.append(byte)
                } else if bytes.peek() == UInt8(ascii: "\"") {
                    field.append(byte)
                    _ = bytes.next()
                } else {
                    (isQuoted, wasQuoted) = (false, true)
                }
                continue
            }
            switch byte {
            case UInt8(ascii: "\n"):
                if field.last == UInt8(ascii: "\r") { field.removeLast() }
                return Record(line: start, fields: fields + [field], fault: fault)
            case UInt8(ascii: ","):
                fields.append(field)
                (field, wasQuoted) = ([], false)
            case UInt8(ascii: "\"") where field.isEmpty && !wasQuoted:
                isQuoted = true
            case UInt8(ascii: "\r") where bytes.peek() == UInt8(ascii: "\n"):
                continue
            default:
                if wasQuoted || byte == UInt8(ascii: "\"") { fault = fault ?? "text beside a quoted field" }
                field.append(byte)
            }
        }
        if isQuoted { fault = "a quoted field that does not end" }
        return Record(line: start, fields: fields + [field], fault: fault)
    }
}
