import ShopEvents
import Testing

@testable import Shop

@Suite struct CSVOrdersTests {
    private let row = "o-1,c-1,Ann,ann@example.com,1997-01-01T00:00:00Z,cd,2,29.33,USD,tok_visa"

    @Test func `a row is an order`() throws {
        let expected = OrderPlaced(
            orderId: "o-1", customer: .init(id: "c-1", name: "Ann", email: "ann@example.com"),
            lines: [.init(sku: "cd", quantity: 2, amount: 2933)], currency: "USD", total: 2933,
            paymentToken: "tok_visa", placedAt: "1997-01-01T00:00:00Z", channel: "web")
        #expect(try onlyOrder("\(header)\n\(row)\n") == expected)
        #expect(try onlyOrder("\(header),channel\n\(row),phone\n")?.channel == "phone")
    }

    @Test func `rows that stand together are one order, and its total is their sum`() throws {
        let results = try readRows(
            row, row.replacing("cd,2,29.33", with: "lp,1,0.67"), row.replacing("o-1", with: "o-2"))
        #expect(results == ["order o-1: 2 lines, 3000 USD", "order o-2: 1 lines, 2933 USD"])
    }

    @Test func `columns stand in any order`() throws {
        let text =
            "amount,payment_token,currency,sku,name,quantity,email,placed_at,customer_id,order_id\n"
            + "500,tok_visa,JPY,cd,Ann,1,ann@example.com,1997-01-01T00:00:00+09:00,c-1,o-1"
        let order = try #require(try onlyOrder(text))
        #expect(order.customer == .init(id: "c-1", name: "Ann", email: "ann@example.com"))
        #expect((order.orderId, order.total, order.placedAt) == ("o-1", 500, "1997-01-01T00:00:00+09:00"))
    }

    @Test(arguments: ["\n", "\r\n"])
    func `lines end with LF or CRLF, and the last may not end at all`(end: String) throws {
        for tail in ["", end, end + end] {
            let order = try onlyOrder(header + end + row + tail)
            #expect(order?.paymentToken == "tok_visa")
        }
    }

    @Test func `a byte order mark and blank lines mean nothing`() throws {
        #expect(try read("\u{FEFF}\(header)\n\(row)\n") == ["order o-1: 1 lines, 2933 USD"])
        #expect(try read("\u{FEFF}\n\r\n\(header)\n\n\(row)\n\n") == ["order o-1: 1 lines, 2933 USD"])
        #expect(try read("\n\n\(header)\n\nx\n").last?.hasPrefix("orders:5: ") == true)
    }

    @Test func `a quoted field holds commas, quotes and ends of lines`() throws {
        let quoted = row.replacing("Ann", with: "\"Ann \"\"A\"\", \r\nBee\"").replacing(
            "cd", with: "\"\"\"\"")
        let order = try #require(try onlyOrder("\"order_id\"\(header.dropFirst(8))\r\n\(quoted)\r\n"))
        #expect(order.customer.name == "Ann \"A\", \r\nBee")
        #expect(order.lines[0].sku == "\"")
    }

    @Test func `names in any script come through`() throws {
        for name in ["Zoë Ångström", "李雷", "Ünal 🎵", "عمر"] {
            #expect(try onlyOrder("\(header)\n\(row.replacing("Ann", with: name))")?.customer.name == name)
        }
    }

    @Test func `a file of nothing has no orders`() throws {
        #expect(try read("") == [])
        #expect(try read("\u{FEFF} \r\n\n") == [])
        #expect(try read(header) == [])
    }

    @Test(arguments: [
        ("order_id,customer_id", "orders:1: the header has no column 'name'"),
        (header.replacing(",currency", with: ""), "orders:1: the header has no column 'currency'"),
        (header + ",note", "orders:1: the header has an unknown column 'note'"),
        (
            header.replacing(",", with: ";"),
            "orders:1: the header has an unknown column 'order_id;customer_id;name;email;placed_a'"
        ),
        (header + ",email", "orders:1: the header has the column 'email' twice"),
        (
            "\n\n" + header.replacing("amount", with: "Amount"),
            "orders:3: the header has an unknown column 'Amount'"
        ),
        ("order\"_id", "orders:1: a quote in a field that begins without one"),
    ])
    func `a header that is not the one expected is an error that names the column`(
        text: String, message: String
    ) {
        let error = #expect(throws: OrderFileError.self) { try read(text + "\n") }
        #expect(error?.description == message)
    }
}
