internal import Freshet
internal import ShopEvents

/// The orders of an NDJSON file: on each line the data of one `order.placed`, of version 2 when it names a channel and else of
/// version 1. Blank lines are passed over.
struct NDJSONOrders: OrderReading {
    private let file: String
    private var bytes: ByteReader
    private var seen = SeenOrders()

    init(file: String, bytes: ByteReader) {
        self.file = file
        self.bytes = bytes
    }

    mutating func next() throws(OrderFileError) -> Result<OrderPlaced, BadRow>? {
        while try bytes.peek() != nil {
            let line = bytes.line
            func fail(_ reason: String) -> Result<OrderPlaced, BadRow> {
                .failure(BadRow(file: file, line: line, reason: reason))
            }
            guard let text = try bytes.nextLine() else {
                return fail("longer than \(ByteReader.longestRow) bytes")
            }
            if text.allSatisfy(\.isBlank) { continue }
            do throws(FreshetError) {
                let order = try Self.order(in: text, file: file)
                guard seen.insert(order.orderId) else {
                    return fail("order \(order.orderId.excerpt) appears again")
                }
                if let problem = order.problem { return fail(problem) }
                return .success(order)
            } catch {
                return fail(error.message)
            }
        }
        return nil
    }

    /// Read just as a service will read it, so that what passes here passes there.
    private static func order(in text: [UInt8], file: String) throws(FreshetError) -> OrderPlaced {
        var event = Event(id: file, source: file, type: OrderPlaced.eventType, data: EventData(text))
        // What cannot be read at all is told by the reading below.
        if let names = try? event.decode(Names.self), names.haveChannel {
            event.schemaVersion = OrderPlaced.schemaVersion
        }
        return try event.payload(OrderPlaced.self)
    }

    /// Which members there are.
    private struct Names: Decodable {
        enum CodingKeys: CodingKey { case channel }
        let haveChannel: Bool

        init(from decoder: any Decoder) throws {
            haveChannel = try decoder.container(keyedBy: CodingKeys.self).contains(.channel)
        }
    }
}

extension OrderPlaced {
    /// What no order may say though its shape is right; nil when all is well.
    fileprivate var problem: String? {
        let names = [("orderId", orderId), ("customer.id", customer.id), ("paymentToken", paymentToken)]
        for (name, value) in names where value.isEmpty { return "data.\(name) is empty" }
        guard Timestamp(placedAt) != nil else { return "data.placedAt '\(placedAt.excerpt)' is not RFC 3339" }
        guard Currency(currency) != nil else {
            return "data.currency '\(currency.excerpt)' is not of ISO 4217"
        }
        guard !lines.isEmpty else { return "data.lines is empty" }
        var sum: Int64 = 0
        for (index, line) in lines.enumerated() {
            guard !line.sku.isEmpty else { return "data.lines[\(index)].sku is empty" }
            guard line.quantity >= 1 else {
                return "data.lines[\(index)].quantity is \(line.quantity), not 1 or more"
            }
            guard line.amount >= 0 else {
                return "data.lines[\(index)].amount is \(line.amount), not 0 or more"
            }
            let (next, isTooLarge) = sum.addingReportingOverflow(line.amount)
            guard !isTooLarge else { return "data.lines add up to too much" }
            sum = next
        }
        return sum == total ? nil : "data.total is \(total), but data.lines add up to \(sum)"
    }
}
