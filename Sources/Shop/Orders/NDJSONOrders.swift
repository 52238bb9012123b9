internal import Freshet
internal import ShopEvents

/// Orders from NDJSON: the data of an `order.placed` event on each line. Blank lines are passed over.
struct NDJSONOrders {
    private let bytes: ByteReader
    private let file: String
    private var line: Int

    init(_ bytes: ByteReader, file: String, line: Int) {
        self.bytes = bytes
        self.file = file
        self.line = line
    }

    /// The next order with its line, or its line as a bad row.
    mutating func next() -> (line: Int, result: Result<OrderPlaced, BadRows>)? {
        while true {
            guard let text = readLine() else { return nil }
            let number = line
            line += 1
            if text.allSatisfy({ $0 == 0x20 || $0 == 0x09 || $0 == 0x0D }) { continue }
            func bad(_ reason: String) -> Result<OrderPlaced, BadRows> {
                .failure(BadRows(rows: [BadRow(file: file, line: number, reason: reason)]))
            }
            let event = Event(source: "file", type: OrderPlaced.eventType, data: EventData(text))
            do throws(FreshetError) {
                let order = try event.decode(OrderPlaced.self)
                return (number, order.fault.map(bad) ?? .success(order))
            } catch {
                return (number, bad(error.message))
            }
        }
    }

    private func readLine() -> [UInt8]? {
        guard bytes.peek() != nil else { return nil }
        var text: [UInt8] = []
        while let byte = bytes.next(), byte != 0x0A { text.append(byte) }
        return text
    }
}
