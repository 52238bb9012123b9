import ShopEvents
import Testing

@testable import Shop

@Suite struct BadRowTests {
    private static let row = "o-1,c-1,Ann,ann@example.com,1997-01-01T00:00:00Z,cd,2,29.33,USD,tok_visa"
    private let row = Self.row
    private let next = Self.row.replacing("o-1", with: "o-2")
    private let placed = "order o-2: 1 lines, 2933 USD"

    @Test(
        arguments: [
            ("c-1", "", "customer_id is empty"),
            ("tok_visa", "", "payment_token is empty"),
            (",cd,", ",,", "sku is empty"),
            ("1997-01-01T", "1997-02-30T", "placed_at '1997-02-30T00:00:00Z' is not RFC 3339"),
            ("1997-01-01T00:00:00Z", "", "placed_at '' is not RFC 3339"),
            ("USD", "usd", "currency 'usd' is not of ISO 4217"),
            (",2,", ",0,", "quantity '0' is not a whole number from 1"),
            (",2,", ",-1,", "quantity '-1' is not a whole number from 1"),
            (",2,", ",+1,", "quantity '+1' is not a whole number from 1"),
            (",2,", ",1.5,", "quantity '1.5' is not a whole number from 1"),
            (",2,", ",,", "quantity '' is not a whole number from 1"),
            ("29.33", "29.333", "amount '29.333' has more decimals than USD has (2)"),
            ("29.33", "1e3", "amount '1e3' is not a decimal number"),
            ("29.33", "", "amount '' is not a decimal number"),
            ("29.33", "-1", "amount '-1' is negative"),
            ("29.33", "92233720368547758.08", "amount '92233720368547758.08' is too large"),
            (",tok_visa", "", "9 fields where the header has 10"),
            ("Ann", "Bee, Ann", "11 fields where the header has 10"),
            ("Ann", "Ann \"A\"", "a quote in a field that begins without one"),
            ("Ann", "\"Ann\" A", "text after a closing quote"),
            ("Ann", "Ann\rA", "a carriage return that ends no line"),
            ("Ann", "A\u{1b}[1m'\u{fffd}", nil),
        ] as [(String, String, String?)])
    func `a bad row is named with file and line, and reading goes on`(
        part: String, wrong: String, reason: String?
    ) throws {
        let results = try readRows(row.replacing(part, with: wrong), next)
        #expect(results == [reason.map { "orders:2: \($0)" } ?? "order o-1: 1 lines, 2933 USD", placed])
    }

    @Test func `one bad row leaves the whole order out, and each bad row is reported once`() throws {
        let results = try readRows(
            row, row.replacing(",2,", with: ",x,"), row, row.replacing("29.33", with: "y"), next)
        #expect(
            results == [
                "orders:3: quantity 'x' is not a whole number from 1",
                "orders:5: amount 'y' is not a decimal number",
                placed,
            ])
    }

    @Test(arguments: [
        ("c-1", "c-2", "customer_id 'c-2' differs from 'c-1' on line 2"),
        ("Ann", "Anna", "name 'Anna' differs from 'Ann' on line 2"),
        ("ann@", "anna@", "email 'anna@example.com' differs from 'ann@example.com' on line 2"),
        ("00Z", "01Z", "placed_at '1997-01-01T00:00:01Z' differs from '1997-01-01T00:00:00Z' on line 2"),
        ("USD", "EUR", "currency 'EUR' differs from 'USD' on line 2"),
        ("tok_visa", "tok_x", "payment_token 'tok_x' differs from 'tok_visa' on line 2"),
    ])
    func `rows of one order that disagree leave it out`(part: String, other: String, reason: String) throws {
        #expect(try readRows(row, row.replacing(part, with: other), next) == ["orders:3: \(reason)", placed])
    }

    @Test func `lines whose sum is too large leave the order out`() throws {
        let much = row.replacing("29.33", with: "92233720368547758.07")
        let results = try readRows(much, row.replacing("29.33", with: "0.01"), next)
        #expect(results == ["orders:3: the order's total is too large", placed])
    }

    @Test func `an order that appears again is left out the second time`() throws {
        let results = try readRows(row, next, row, row, next.replacing("o-2", with: "o-3"))
        #expect(
            results == [
                "order o-1: 1 lines, 2933 USD", placed,
                "orders:4: order o-1 appears again; its rows must stand together",
                "order o-3: 1 lines, 2933 USD",
            ])
    }

    @Test func `an order that appears again after it was left out is not an order either`() throws {
        let results = try readRows(row.replacing(",2,", with: ",x,"), next, row)
        #expect(
            results == [
                "orders:2: quantity 'x' is not a whole number from 1", placed,
                "orders:4: order o-1 appears again; its rows must stand together",
            ])
    }

    @Test func `a field that is not UTF-8 is a bad row`() throws {
        let (before, after) = (
            "\(header)\no-1,c-1,Zo", ",z@example.com,1997-01-01T00:00:00Z,cd,1,1,USD,tok_visa\n"
        )
        let results = try read(Array(before.utf8) + [0xEB] + Array((after + next).utf8))
        #expect(results == ["orders:2: field 3 is not UTF-8", placed])
    }

    @Test func `where a row's order cannot be told, no order next to it is placed with a line missing`()
        throws
    {
        let nameless = row.replacing("o-1", with: "")
        let reason = "order_id is empty; its order cannot be told, so the orders next to it are left out"
        let last = row.replacing("o-1", with: "o-3")
        #expect(
            try readRows(row, nameless, next, last) == [
                "orders:3: \(reason)", "order o-3: 1 lines, 2933 USD",
            ])
        #expect(try readRows(row, nameless, row, next) == ["orders:3: \(reason)", placed])
        #expect(try readRows(nameless, row, next) == ["orders:2: \(reason)", placed])
    }

    @Test func `a quote that is never closed is found where it opens`() throws {
        let open = next.replacing("Ann", with: "\"Ann")
        let before = "order o-1: 1 lines, 2933 USD"
        #expect(try readRows(row, open, row) == [before, "orders:3: a quote that is never closed"])
        let long = Array(repeating: row, count: 2 * ByteReader.longestRow / row.utf8.count).joined(
            separator: "\n")
        let results = try readRows(
            row, open, long.replacing("o-1", with: "o-4"), row.replacing("o-1", with: "o-5"))
        #expect(results.count == 3)
        #expect(results.first == before)
        #expect(results.dropFirst().first?.hasPrefix("orders:3: longer than 1048576 bytes (on line ") == true)
        #expect(results.last == "order o-5: 1 lines, 2933 USD")
    }

    @Test func `a quote that another row's quote closes spoils no order unseen`() throws {
        let open = next.replacing("Ann", with: "\"Ann")
        let closing = row.replacing("Ann", with: "\"Ann\"").replacing("o-1", with: "o-4")
        let results = try readRows(row, open, next, closing, closing, row.replacing("o-1", with: "o-5"))
        #expect(
            results == [
                "order o-1: 1 lines, 2933 USD",
                "orders:3: text after a closing quote (on line 5); the order after it is left out too, "
                    + "as it may begin in this row",
                "order o-5: 1 lines, 2933 USD",
            ])
    }

    @Test func `what a file says cannot break the line of a message`() throws {
        let wrong = row.replacing(",2,", with: ",\"a\n\u{1b}[2J" + String(repeating: "b", count: 50) + "\",")
        let shown = #"a\n\u{1B}[2J"# + String(repeating: "b", count: 34)
        #expect(try readRows(wrong) == ["orders:2: quantity '\(shown)' is not a whole number from 1"])
        let amount = row.replacing("29.33", with: "\"\u{1b}[2J\n\"")
        #expect(try readRows(amount) == [#"orders:2: amount '\u{1B}[2J\n' is not a decimal number"#])
    }
}
