/// The columns of a CSV file of orders.
enum Column: String, CaseIterable {
    case orderID = "order_id"
    case customerID = "customer_id"
    case name
    case email
    case placedAt = "placed_at"
    case sku
    case quantity
    case amount
    case currency
    case paymentToken = "payment_token"
    /// May be left out.
    case channel

    /// The columns that belong to the order, and not to one of its lines.
    static let ofOrder: [Column] = [
        .customerID, .name, .email, .placedAt, .currency, .paymentToken, .channel,
    ]
}

/// Where each column stands.
struct CSVHeader {
    private let positions: [Column: Int]

    /// The header in this row. Throws when a column is missing, unknown or there twice.
    init(_ row: CSVRow, file: String) throws(OrderFileError) {
        func fail(_ reason: String) -> OrderFileError {
            .badHeader(BadRow(file: file, line: row.line, reason: reason))
        }
        if let problem = row.problem { throw fail(problem) }
        var positions: [Column: Int] = [:]
        for (position, name) in row.fields.enumerated() {
            guard let column = Column(rawValue: name) else {
                throw fail("the header has an unknown column '\(name.excerpt)'")
            }
            guard positions.updateValue(position, forKey: column) == nil else {
                throw fail("the header has the column '\(name)' twice")
            }
        }
        for column in Column.allCases where positions[column] == nil && column != .channel {
            throw fail("the header has no column '\(column.rawValue)'")
        }
        self.positions = positions
    }

    /// The row, as a bad one if it has more or fewer fields than the header. Of the fields of such a row only
    /// the first is believed: where one is missing or too many, none after it need stand in its column.
    func check(_ row: CSVRow) -> CSVRow {
        guard row.problem == nil, row.fields.count != positions.count else { return row }
        var row = row
        let fields = row.fields.count == 1 ? "1 field" : "\(row.fields.count) fields"
        row.problem = "\(fields) where the header has \(positions.count)"
        row.isRunaway = row.spansLines
        row.fields = Array(row.fields.prefix(1))
        return row
    }

    /// What stands in this column; empty when the row has no such field.
    func value(_ column: Column, in row: CSVRow) -> String {
        guard let position = positions[column], position < row.fields.count else { return "" }
        return row.fields[position]
    }
}
