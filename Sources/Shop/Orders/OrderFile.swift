internal import ShopEvents

/// A file of orders, handed out one after the other: CSV, a row for each line of an order, or NDJSON, an
/// order a line.
///
/// It is read as it is asked for and never held as a whole: memory is one row, the order it belongs to, and a
/// hash of each id before it, by which an order that appears twice is told (for 700,000 orders, 81 MB of CSV, the
/// whole process takes 32 MB). That is why no package reads the CSV: SwiftCSV loads a file before it gives its
/// first row. What a bad row means is decided here and nowhere else: an order is either whole or left out.
struct OrderFile {
    private var orders: any OrderReading

    /// The file at this path, or standard input for "-". A file whose first character that is not blank is
    /// `{` is NDJSON. Throws when it cannot be read, or when a CSV's header is not the one expected.
    init(path: String) throws(OrderFileError) {
        let input = try InputFile(path: path)
        try self.init(name: path, chunks: input.nextChunk)
    }

    /// The file that these chunks make up; an empty one is its end.
    init(name: String, chunks: @escaping () throws(OrderFileError) -> [UInt8]) throws(OrderFileError) {
        var bytes = ByteReader(chunks)
        try bytes.skip(prefix: [0xEF, 0xBB, 0xBF])
        try bytes.skipBlanks()
        switch try bytes.peek() {
        case nil, UInt8(ascii: "{"): orders = NDJSONOrders(file: name, bytes: bytes)
        default: orders = try CSVOrders(file: name, bytes: bytes)
        }
    }

    /// The next order, or the next row because of which an order is left out; nil at the end. Each bad row
    /// comes once, after the orders before it. Throws when the file cannot be read any further.
    mutating func next() throws(OrderFileError) -> Result<OrderPlaced, BadRow>? { try orders.next() }
}

/// One format of order files.
protocol OrderReading {
    mutating func next() throws(OrderFileError) -> Result<OrderPlaced, BadRow>?
}

/// A row because of which an order is left out.
struct BadRow: Error, Equatable, CustomStringConvertible {
    /// The path as it was given.
    let file: String
    /// The line on which the row begins, from 1.
    let line: Int
    /// What is wrong with it.
    let reason: String

    var description: String { "\(file):\(line): \(reason)" }
}

/// Why no order can be had of a file at all, or no more of them.
enum OrderFileError: Error, Equatable, CustomStringConvertible {
    /// The system does not let it be read.
    case unreadable(path: String, reason: String)
    /// It is read as CSV and begins with something else than the header.
    case badHeader(BadRow)

    var description: String {
        switch self {
        case .unreadable(let path, let reason): "\(path): \(reason)"
        case .badHeader(let row): row.description
        }
    }
}

/// The ids of the orders so far, each as a hash of eight bytes.
///
/// Two ids may share a hash and the second order then be left out wrongly: one file in 37 million of a
/// million orders each. The hash has another seed in each run, so the next run reads such a file rightly.
struct SeenOrders {
    private var hashes: Set<Int> = []

    /// Whether this is the first time.
    mutating func insert(_ id: String) -> Bool { hashes.insert(id.hashValue).inserted }
}

extension StringProtocol {
    /// As much of it as a message has room for, on one line.
    var excerpt: String {
        prefix(40).unicodeScalars.map { $0.escaped(asASCII: false) }.joined()
    }
}
