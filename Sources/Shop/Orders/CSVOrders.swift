internal import Freshet
internal import ShopEvents

/// The orders of a CSV file: rows that stand together and have the same order id are one order.
struct CSVOrders: OrderReading {
    private let file: String
    private let header: CSVHeader
    private var rows: CSVRows
    /// The row that ended the order before it, and waits for its own turn.
    private var held: CSVRow?
    private var open: OpenOrder?
    private var seen = SeenOrders()
    /// Whether the order that begins next may have lost its first row.
    private var spoilsNext = false

    /// Reads the header.
    init(file: String, bytes: ByteReader) throws(OrderFileError) {
        var rows = CSVRows(bytes)
        header = try CSVHeader(try rows.next() ?? CSVRow(line: 1), file: file)
        self.file = file
        self.rows = rows
    }

    mutating func next() throws(OrderFileError) -> Result<OrderPlaced, BadRow>? {
        while let row = try takeRow() {
            let id = header.value(.orderID, in: row)
            if !id.isEmpty, let openID = open?.id, openID != id {
                held = row
                if let order = close() { return .success(order) }
            } else if let problem = id.isEmpty ? spoil(because: row) : add(row, toOrder: id) {
                return .failure(BadRow(file: file, line: row.line, reason: problem))
            }
        }
        return close().map { .success($0) }
    }

    private mutating func takeRow() throws(OrderFileError) -> CSVRow? {
        if let row = held {
            held = nil
            return row
        }
        return try rows.next().map { header.check($0) }
    }

    private mutating func close() -> OrderPlaced? {
        defer { open = nil }
        return open?.order
    }

    private mutating func add(_ row: CSVRow, toOrder id: String) -> String? {
        var problem = row.problem
        if row.isRunaway {
            problem? += "; the order after it is left out too, as it may begin in this row"
        }
        if open == nil {
            open = OpenOrder(id: id, isBad: spoilsNext)
            if !seen.insert(id) {
                problem = problem ?? "order \(id.excerpt) appears again; its rows must stand together"
            }
        }
        spoilsNext = row.isRunaway
        problem = problem ?? open?.add(row, header)
        if problem != nil { open?.isBad = true }
        return problem
    }

    /// A line of an order is missing where nobody can tell the order of a row. Rather than ask a customer for
    /// a part of what they bought, both orders it may belong to are left out.
    private mutating func spoil(because row: CSVRow) -> String {
        open?.isBad = true
        spoilsNext = true
        let problem = row.problem ?? "order_id is empty"
        return "\(problem); its order cannot be told, so the orders next to it are left out"
    }
}

/// One order, as far as its rows have been read.
private struct OpenOrder {
    let id: String
    /// Whether it is to be left out.
    var isBad: Bool
    private var first: CSVRow?
    private var customer = OrderPlaced.Customer(id: "", name: "", email: "")
    private var (currency, placedAt, paymentToken, channel) = ("", "", "", "")
    private var lines: [OrderPlaced.Line] = []
    private var total: Int64 = 0

    init(id: String, isBad: Bool) {
        self.id = id
        self.isBad = isBad
    }

    /// The order; nil when it is to be left out.
    var order: OrderPlaced? {
        isBad
            ? nil
            : OrderPlaced(
                orderId: id, customer: customer, lines: lines, currency: currency, total: total,
                paymentToken: paymentToken, placedAt: placedAt, channel: channel)
    }

    /// Adds a row; the reason when it is a bad one.
    mutating func add(_ row: CSVRow, _ header: CSVHeader) -> String? {
        func value(_ column: Column) -> String { header.value(column, in: row) }
        if let first {
            for column in Column.ofOrder where value(column) != header.value(column, in: first) {
                return "\(column.rawValue) '\(value(column).excerpt)' differs from "
                    + "'\(header.value(column, in: first).excerpt)' on line \(first.line)"
            }
        } else {
            first = row
            customer = .init(id: value(.customerID), name: value(.name), email: value(.email))
            (currency, placedAt) = (value(.currency), value(.placedAt))
            paymentToken = value(.paymentToken)
            channel = value(.channel).isEmpty ? "web" : value(.channel)
        }
        for column in [Column.customerID, .paymentToken, .sku] where value(column).isEmpty {
            return "\(column.rawValue) is empty"
        }
        guard Timestamp(placedAt) != nil else { return "placed_at '\(placedAt.excerpt)' is not RFC 3339" }
        guard let currency = Currency(currency) else {
            return "currency '\(self.currency.excerpt)' is not of ISO 4217"
        }
        let digits = value(.quantity)
        guard let quantity = Int(digits), quantity >= 1, digits.utf8.first != UInt8(ascii: "+") else {
            return "quantity '\(digits.excerpt)' is not a whole number from 1"
        }
        do throws(AmountError) {
            let amount = try currency.minorUnits(of: value(.amount))
            let (sum, isTooLarge) = total.addingReportingOverflow(amount)
            guard !isTooLarge else { return "the order's total is too large" }
            total = sum
            lines.append(OrderPlaced.Line(sku: value(.sku), quantity: quantity, amount: amount))
        } catch {
            return "amount \(error)"
        }
        return nil
    }
}
