import ShopEvents
import Testing

@Suite struct CurrencyTests {
    @Test(
        arguments: [
            ("USD", "29.33", 2933), ("USD", "0", 0), ("USD", "0.00", 0), ("USD", "7", 700),
            ("USD", "7.5", 750),
            ("USD", "007.50", 750), ("USD", "7.500000", 750), ("USD", "0.01", 1),
            ("USD", "92233720368547758.07", .max), ("EUR", "1234567.89", 123_456_789),
            ("JPY", "100", 100), ("JPY", "100.00", 100), ("JPY", "9223372036854775807", .max),
            ("KWD", "1.234", 1234), ("KWD", "1.2", 1200), ("KWD", "1.2340", 1234), ("CLF", "0.0001", 1),
        ] as [(String, String, Int64)])
    func `a decimal becomes exactly its minor units`(code: String, decimal: String, units: Int64) throws {
        let currency = try #require(Currency(code))
        #expect(try currency.minorUnits(of: decimal) == units)
    }

    @Test(arguments: [
        ("USD", ""), ("USD", "1."), ("USD", ".5"), ("USD", "."), ("USD", "1e3"), ("USD", "+1"), ("USD", " 1"),
        ("USD", "1 "), ("USD", "1,50"), ("USD", "1.2.3"), ("USD", "1_000"), ("USD", "0x10"), ("USD", "NaN"),
        ("USD", "\u{661}"), ("JPY", "1."), ("USD", "1.00x"),
    ])
    func `what is not a plain decimal is no amount`(code: String, decimal: String) throws {
        try expect(.notDecimal, code, decimal)
    }

    @Test(arguments: ["-1", "-0", "-0.01", "-x"])
    func `nothing is worth less than nothing`(decimal: String) throws {
        try expect(.negative, "USD", decimal)
    }

    @Test(arguments: [
        ("USD", "29.333"), ("USD", "0.001"), ("JPY", "0.5"), ("KWD", "1.2345"), ("USD", "1.0001"),
    ])
    func `more decimals than the currency has are not rounded away`(code: String, decimal: String) throws {
        try expect(.tooManyDecimals, code, decimal)
    }

    @Test(arguments: [
        ("USD", "92233720368547758.08"), ("USD", "92233720368547759"), ("JPY", "9223372036854775808"),
        ("CLF", "999999999999999999"), ("JPY", "100000000000000000000000000000"),
    ])
    func `an amount beyond 64 bits is too large`(code: String, decimal: String) throws {
        try expect(.tooLarge, code, decimal)
    }

    private func expect(_ problem: AmountError.Problem, _ code: String, _ decimal: String) throws {
        let currency = try #require(Currency(code))
        let error = #expect(throws: AmountError.self) { try currency.minorUnits(of: decimal) }
        #expect(error?.problem == problem)
    }

    @Test func `an error names the amount and the currency`() throws {
        let dollar = try #require(Currency("USD"))
        let error = #expect(throws: AmountError.self) { try dollar.minorUnits(of: "29.333") }
        #expect("\(try #require(error))" == "'29.333' has more decimals than USD has (2)")
    }

    @Test(
        arguments: [
            ("USD", 2933, "29.33"), ("USD", 5, "0.05"), ("USD", 0, "0.00"), ("USD", 100, "1.00"),
            ("USD", -5, "-0.05"),
            ("USD", .max, "92233720368547758.07"), ("USD", .min, "-92233720368547758.08"),
            ("JPY", 0, "0"), ("JPY", 120, "120"), ("KWD", 1, "0.001"), ("UYW", 12_345, "1.2345"),
        ] as [(String, Int64, String)])
    func `minor units are written with all the currency's decimals`(code: String, units: Int64, text: String)
        throws
    {
        #expect(try #require(Currency(code)).decimal(of: units) == text)
    }

    @Test func `what is written is read back`() throws {
        for code in ["USD", "JPY", "KWD", "CLF"] {
            let currency = try #require(Currency(code))
            for _ in 0..<1000 {
                let units = Int64.random(in: 0...(.max))
                #expect(try currency.minorUnits(of: currency.decimal(of: units)) == units, "\(code)")
            }
        }
    }

    @Test(arguments: [
        ("USD", 2), ("EUR", 2), ("GBP", 2), ("CHF", 2), ("HUF", 2), ("MGA", 2), ("XCG", 2), ("ZWG", 2),
        ("JPY", 0), ("KRW", 0), ("CLP", 0), ("ISK", 0), ("VND", 0), ("XOF", 0), ("UYI", 0),
        ("BHD", 3), ("IQD", 3), ("JOD", 3), ("KWD", 3), ("LYD", 3), ("OMR", 3), ("TND", 3), ("CLF", 4),
        ("UYW", 4),
    ])
    func `each currency has the decimals that ISO 4217 gives it`(code: String, digits: Int) {
        #expect(Currency(code)?.minorDigits == digits)
    }

    @Test(arguments: ["", "usd", "US", "USDX", "XXX", "XTS", "XAU", "HRK", "DEM", "BTC", " USD"])
    func `a code without a minor unit, or none at all, is no currency`(code: String) {
        #expect(Currency(code) == nil)
    }
}
