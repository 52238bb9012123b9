import ShopEvents

@testable import Shop

let header = "order_id,customer_id,name,email,placed_at,sku,quantity,amount,currency,payment_token"

/// What an order file of these bytes gives: "order o-1: 2 lines, 2933 USD" or a bad row as it is printed.
func read(_ bytes: [UInt8], name: String = "orders", chunk: @escaping () -> Int = { 65_536 }) throws
    -> [String]
{
    try orders(bytes, name: name, chunk: chunk).map { result in
        switch result {
        case .success(let order):
            "order \(order.orderId): \(order.lines.count) lines, \(order.total) \(order.currency)"
        case .failure(let row): "\(row)"
        }
    }
}

func read(_ text: String) throws -> [String] { try read(Array(text.utf8)) }

/// These rows under the header.
func readRows(_ rows: String...) throws -> [String] {
    try read(([header] + rows).joined(separator: "\n") + "\n")
}

/// The only order of a text.
func onlyOrder(_ text: String) throws -> OrderPlaced? {
    let all = try orders(Array(text.utf8))
    return all.count == 1 ? try all[0].get() : nil
}

func orders(
    _ bytes: [UInt8], name: String = "orders", chunk: @escaping () -> Int = { 65_536 }
) throws -> [Result<OrderPlaced, BadRow>] {
    var position = 0
    var file = try OrderFile(name: name) { () throws(OrderFileError) in
        let end = min(bytes.count, position + chunk())
        defer { position = end }
        return Array(bytes[position..<end])
    }
    var results: [Result<OrderPlaced, BadRow>] = []
    while let result = try file.next() { results.append(result) }
    return results
}
