internal import FreshetService
internal import ShopEvents

/// Orders from CSV: a row for each line of an order, the rows of one order together.
struct CSVOrders {
    static let columns = [
        "order_id", "customer_id", "name", "email", "placed_at", "sku", "quantity", "amount", "currency",
        "payment_token",
    ]

    private struct Row {
        let line: Int
        let values: [String: String]
        let fault: String?
        subscript(_ column: String) -> String { values[column] ?? "" }
    }

    private let file: String
    private let header: [String]
    private var reader: CSVReader
    private var ahead: Row?

    init(_ bytes: ByteReader, file: String) throws(ToolError) {
        self.file = file
        reader = CSVReader(bytes)
        guard let first = reader.next() else { throw ToolError(.badData, "\(file):1: the file is empty") }
        let header = first.fields.map { String(decoding: $0, as: UTF8.self) }
        if let missing = Self.columns.first(where: { !header.contains($0) }) {
            throw ToolError(.badData, "\(file):1: the column '\(missing)' is missing")
        }
        if let unknown = header.first(where: { !Self.columns.contains($0) }) {
            throw ToolError(.badData, "\(file):1: the column '\(unknown)' is not known")
        }
        if header.count != Self.columns.count {
            throw ToolError(.badData, "\(file):1: a column stands there twice")
        }
        self.header = header
        ahead = read()
    }

    /// The next order with the line on which it begins, or its bad rows.
    mutating func next() -> (line: Int, result: Result<OrderPlaced, BadRows>)? {
        guard let first = ahead else { return nil }
        var rows = [first]
        ahead = read()
        while let row = ahead, !first["order_id"].isEmpty, row["order_id"] == first["order_id"] {
            rows.append(row)
            ahead = read()
        }
        var lines: [OrderPlaced.Line] = []
        var bad: [BadRow] = []
        for row in rows {
            do throws(BadRow) {
                lines.append(try line(row, of: first))
            } catch { bad.append(error) }
        }
        guard bad.isEmpty else { return (first.line, .failure(BadRows(rows: bad))) }
        let total = lines.reduce(Int64(0)) { $0 &+ $1.amount }
        let order = OrderPlaced(
            orderId: first["order_id"],
            customer: OrderPlaced.Customer(
                id: first["customer_id"], name: first["name"], email: first["email"]),
            lines: lines, currency: first["currency"], total: total, paymentToken: first["payment_token"],
            placedAt: first["placed_at"])
        if let fault = order.fault {
            return (
                first.line, .failure(BadRows(rows: [BadRow(file: file, line: first.line, reason: fault)]))
            )
        }
        return (first.line, .success(order))
    }

    private func line(_ row: Row, of first: Row) throws(BadRow) -> OrderPlaced.Line {
        func bad(_ reason: String) -> BadRow { BadRow(file: file, line: row.line, reason: reason) }
        if let fault = row.fault { throw bad(fault) }
        for column in ["customer_id", "name", "email", "placed_at", "currency", "payment_token"]
        where row[column] != first[column] {
            throw bad("\(column) '\(row[column])' differs from '\(first[column])' in the order's first row")
        }
        guard let quantity = Int(row["quantity"]) else {
            throw bad("the quantity '\(row["quantity"])' is no number")
        }
        guard let currency = Currency(row["currency"]) else {
            throw bad("the currency '\(row["currency"])' is not known")
        }
        do throws(AmountError) {
            return OrderPlaced.Line(
                sku: row["sku"], quantity: quantity, amount: try currency.minorUnits(row["amount"]))
        } catch { throw bad(error.description) }
    }

    private mutating func read() -> Row? {
        guard let record = reader.next() else { return nil }
        var fault = record.fault
        if fault == nil, record.fields.count != header.count {
            fault = "\(record.fields.count) fields, the header has \(header.count)"
        }
        var values: [String: String] = [:]
        for (column, bytes) in zip(header, record.fields) {
            if let text = String(validating: bytes, as: UTF8.self) {
                values[column] = text
            } else {
                fault = fault ?? "\(column) is not UTF-8"
            }
        }
        return Row(line: record.line, values: values, fault: fault)
    }
}
