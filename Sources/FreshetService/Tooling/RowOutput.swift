/// Prints rows as they come, so that memory does not grow with them.
public struct RowOutput<Row: Encodable> {
    private let format: OutputFormat
    private let columns: [(name: String, value: (Row) -> String)]
    private var table: TextTable
    /// Rows of a table that are not printed yet.
    private var block: [[String]] = []
    /// An array's newest element, whose comma depends on whether there is another one.
    private var held: String?
    private var isBegun = false

    init(_ format: OutputFormat, _ columns: [(name: String, value: (Row) -> String)], isBare: Bool) {
        self.format = format
        self.columns = columns
        table = TextTable(
            columns: columns.map(\.name), hasNames: !isBare, lineWidth: StandardOutput.terminalWidth)
    }

    /// Adds a row. As a JSON line it is printed at once; rows of a table are held back, up to 500 of them, so that they are
    /// aligned, and `flush` prints them.
    public mutating func add(_ row: Row) throws {
        switch format {
        case .table:
            block.append(columns.map { $0.value(row) })
            if block.count == 500 { flush() }
        case .json:
            let text = try OutputOptions.json(row, pretty: false)
            if let held { writeElement(held, end: ",") }
            held = text
        case .ndjson:
            StandardOutput.write(try OutputOptions.json(row, pretty: false))
        }
    }

    /// Prints the rows of a table that are held back.
    public mutating func flush() {
        guard format == .table else { return }
        for line in table.lines(block) { StandardOutput.write(line) }
        block = []
    }

    /// Prints what is held back and ends the document. A table without rows is the names of its columns.
    public mutating func finish() {
        switch format {
        case .table: flush()
        case .json where held == nil: StandardOutput.write("[]")
        case .json: writeElement(held ?? "", end: "\n]")
        case .ndjson: break
        }
    }

    private mutating func writeElement(_ text: String, end: String) {
        StandardOutput.write("\(isBegun ? "" : "[\n")  \(text)\(end)")
        isBegun = true
    }
}
