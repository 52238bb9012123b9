import ShopEvents
import Testing

@testable import Shop

@Suite struct NDJSONOrdersTests {
    private static let line =
        #"{"orderId":"o-1","customer":{"id":"c-1","name":"Zoë","email":"z@example.com"},"#
        + #""lines":[{"sku":"cd","quantity":2,"amount":2933},{"sku":"lp","quantity":1,"amount":67}],"#
        + #""currency":"USD","total":3000,"paymentToken":"tok_visa","placedAt":"1997-01-01T00:00:00Z"}"#
    private let line = Self.line
    private let next = Self.line.replacing("o-1", with: "o-2")
    private let placed = "order o-2: 2 lines, 3000 USD"

    @Test func `a line is an order`() throws {
        var expected = OrderPlaced(
            orderId: "o-1", customer: .init(id: "c-1", name: "Zoë", email: "z@example.com"),
            lines: [.init(sku: "cd", quantity: 2, amount: 2933), .init(sku: "lp", quantity: 1, amount: 67)],
            currency: "USD", total: 3000, paymentToken: "tok_visa", placedAt: "1997-01-01T00:00:00Z",
            channel: "unknown")
        #expect(try onlyOrder(line) == expected)
        #expect(try onlyOrder("\u{FEFF}\n \t\r\n" + line + "\r\n\r\n") == expected)
        expected.channel = "store"
        expected.customer = .init(id: "c-1", givenName: "Zoë", familyName: "Å", email: "z@example.com")
        let newer = line.replacing(#""name":"Zoë""#, with: #""givenName":"Zoë","familyName":"Å""#)
        #expect(
            try onlyOrder(newer.replacing(#"{"orderId""#, with: #"{"channel":"store","orderId""#)) == expected
        )
        #expect(try read(newer) == ["orders:1: data.customer.name is missing"])
    }

    @Test(arguments: [
        (#""orderId":"o-1""#, #""orderId":"""#, "data.orderId is empty"),
        (#""id":"c-1""#, #""id":"""#, "data.customer.id is empty"),
        ("tok_visa", "", "data.paymentToken is empty"),
        ("1997-01-01T", "1997-01-01", "data.placedAt '1997-01-0100:00:00Z' is not RFC 3339"),
        ("USD", "XXX", "data.currency 'XXX' is not of ISO 4217"),
        (#""sku":"lp""#, #""sku":"""#, "data.lines[1].sku is empty"),
        (#""quantity":2"#, #""quantity":0"#, "data.lines[0].quantity is 0, not 1 or more"),
        (#""amount":67"#, #""amount":-1"#, "data.lines[1].amount is -1, not 0 or more"),
        (#""amount":67"#, #""amount":9223372036854775807"#, "data.lines add up to too much"),
        (#""total":3000"#, #""total":2999"#, "data.total is 2999, but data.lines add up to 3000"),
        (#""currency":"USD","#, "", "data.currency is missing"),
        (#""name":"Zoë","#, "", "data.customer.name is missing"),
        (#""total":3000"#, #""total":"3000""#, "data.total is no Int64"),
        ("}]", "}", "data is not JSON"),
    ])
    func `a bad line is named with file and line, and reading goes on`(
        part: String, wrong: String, reason: String
    ) throws {
        let results = try read("\n" + line.replacing(part, with: wrong) + "\n" + next)
        #expect(results == ["orders:2: \(reason)", placed])
    }

    @Test func `an order without lines is none`() throws {
        let empty =
            #"{"orderId":"o-1","customer":{"id":"c","name":"","email":""},"lines":[],"currency":"USD","#
            + #""total":0,"paymentToken":"t","placedAt":"1997-01-01T00:00:00Z"}"#
        #expect(try read(empty) == ["orders:1: data.lines is empty"])
    }

    @Test func `an order that appears again is left out the second time`() throws {
        #expect(
            try read([line, next, line].joined(separator: "\n"))
                == ["order o-1: 2 lines, 3000 USD", placed, "orders:3: order o-1 appears again"])
    }

    @Test func `a line that is not UTF-8 is a bad line`() throws {
        let parts = line.split(separator: "Zoë")
        let bytes = Array(parts[0].utf8) + [0xEB] + Array("\(parts[1])\n\(next)".utf8)
        #expect(try read(bytes) == ["orders:1: data is not JSON", placed])
    }

    @Test func `a line longer than a row may be is passed over`() throws {
        let long = line.replacing("Zoë", with: String(repeating: "x", count: 2 << 20))
        #expect(try read(long + "\n" + next) == ["orders:1: longer than 1048576 bytes", placed])
    }
}
