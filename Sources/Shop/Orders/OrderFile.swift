internal import Freshet
internal import FreshetService
internal import ShopEvents

/// A row that is no part of an order.
struct BadRow: Error, Equatable, CustomStringConvertible {
    let file: String
    /// From 1; the header is line 1.
    let line: Int
    let reason: String

    /// `FILE:LINE: reason`
    var description: String { "\(file):\(line): \(reason)" }
}

/// The orders of a file, one after the other: CSV, or NDJSON when its first character is `{`.
///
/// An order with a bad row is bad as a whole: each of its bad rows is given once, and reading goes on behind it.
struct OrderFile {
    private enum Format {
        case csv(CSVOrders)
        case ndjson(NDJSONOrders)
    }
    private var format: Format
    private let name: String
    /// The orders so far. An id takes some 50 bytes: a million orders cost what one small process costs anyway.
    private var seen: Set<String> = []
    private var queued: [BadRow] = []

    /// - Parameter name: what the file is called in messages.
    init(path: String, name: String, chunk: Int = 64 * 1024) throws(ToolError) {
        self.name = name
        let bytes = try ByteReader(path: path, name: name, chunk: chunk)
        if bytes.peek() == 0xEF {  // a byte order mark
            for _ in 0..<3 { _ = bytes.next() }
        }
        var line = 1
        while let byte = bytes.peek(), [0x0A, 0x0D, 0x20, 0x09].contains(byte) {
            if bytes.next() == 0x0A { line += 1 }
        }
        format =
            bytes.peek() == UInt8(ascii: "{")
            ? .ndjson(NDJSONOrders(bytes, file: name, line: line)) : .csv(try CSVOrders(bytes, file: name))
    }

    /// The next order, or the next bad row; nil at the end of the file.
    mutating func next() throws -> Result<OrderPlaced, BadRow>? {
        if !queued.isEmpty { return .failure(queued.removeFirst()) }
        let found: (line: Int, result: Result<OrderPlaced, BadRows>)?
        switch format {
        case .csv(var orders):
            found = orders.next()
            format = .csv(orders)
        case .ndjson(var orders):
            found = orders.next()
            format = .ndjson(orders)
        }
        guard let found else { return nil }
        switch found.result {
        case .success(let order):
            guard seen.insert(order.orderId).inserted else {
                let reason = "order '\(order.orderId)' appears again; its rows must stand together"
                return .failure(BadRow(file: name, line: found.line, reason: reason))
            }
            return .success(order)
        case .failure(let bad):
            queued = bad.rows
            return .failure(queued.removeFirst())
        }
    }
}

/// All bad rows of one order; at least one.
struct BadRows: Error {
    let rows: [BadRow]
}

extension OrderPlaced {
    /// What is wrong with the order, whatever it was read from; nil when nothing is.
    var fault: String? {
        if orderId.isEmpty { return "order_id is empty" }
        if customer.id.isEmpty { return "customer_id is empty" }
        if paymentToken.isEmpty { return "payment_token is empty" }
        if Timestamp(placedAt) == nil { return "placed_at '\(placedAt)' is not an RFC 3339 time" }
        if Currency(currency) == nil { return "the currency '\(currency)' is not known" }
        if lines.isEmpty { return "the order has no lines" }
        var sum: Int64 = 0
        for line in lines {
            if line.sku.isEmpty { return "sku is empty" }
            if line.quantity < 1 { return "the quantity \(line.quantity) is below 1" }
            if line.amount < 0 { return "the amount \(line.amount) is negative" }
            let (next, overflows) = sum.addingReportingOverflow(line.amount)
            if overflows { return "the sum of the lines is too large" }
            sum = next
        }
        return sum == total ? nil : "the total \(total) is not the sum of the lines, \(sum)"
    }
}
