/// A currency of ISO 4217: its code, and how many decimals of its main unit its minor unit has.
///
/// Amounts are whole minor units everywhere; this is where decimal text becomes one and is made from one. No
/// floating point takes part, so nothing is ever rounded.
public struct Currency: Sendable, Hashable, CustomStringConvertible {
    /// The code: `USD`.
    public let code: String
    /// How many decimals the main unit has: 2 for USD, 0 for JPY, 3 for KWD.
    public let minorDigits: Int

    /// The currency of this code, in capitals; nil when there is none, or when it has no minor unit (gold has
    /// not).
    public init?(_ code: some StringProtocol) {
        guard let known = Self.minorDigits[String(code)] else { return nil }
        self.code = String(code)
        minorDigits = known
    }

    /// The code.
    public var description: String { code }

    /// The minor units of a plain decimal: 2933 for "29.33" in USD.
    ///
    /// Digits, then perhaps a point and more digits: no sign, no exponent, no blanks, no separators of
    /// thousands. There may be fewer decimals than the currency has; more only if they are zeros.
    public func minorUnits(of decimal: some StringProtocol) throws(AmountError) -> Int64 {
        func fail(_ problem: AmountError.Problem) -> AmountError {
            AmountError(problem, amount: String(decimal), currency: self)
        }
        var units: Int64 = 0
        func append(_ digit: UInt8) throws(AmountError) {
            let (product, isTooLarge) = units.multipliedReportingOverflow(by: 10)
            let (sum, isJustTooLarge) = product.addingReportingOverflow(Int64(digit))
            guard !isTooLarge, !isJustTooLarge else { throw fail(.tooLarge) }
            units = sum
        }
        if decimal.utf8.first == UInt8(ascii: "-") { throw fail(.negative) }
        var (wholes, decimals, hasPoint) = (0, 0, false)
        for byte in decimal.utf8 {
            switch byte {
            case UInt8(ascii: "0")...UInt8(ascii: "9") where !hasPoint:
                wholes += 1
                try append(byte - UInt8(ascii: "0"))
            case UInt8(ascii: "0")...UInt8(ascii: "9"):
                decimals += 1
                if decimals <= minorDigits {
                    try append(byte - UInt8(ascii: "0"))
                } else if byte != UInt8(ascii: "0") {
                    throw fail(.tooManyDecimals)
                }
            case UInt8(ascii: ".") where !hasPoint && wholes > 0: hasPoint = true
            default: throw fail(.notDecimal)
            }
        }
        guard wholes > 0, decimals > 0 || !hasPoint else { throw fail(.notDecimal) }
        while decimals < minorDigits {
            decimals += 1
            try append(0)
        }
        return units
    }

    /// The plain decimal of so many minor units, with all the currency's decimals: "29.33" for 2933 in USD.
    /// What `minorUnits(of:)` read comes back; less than nothing gets a minus.
    public func decimal(of minorUnits: Int64) -> String {
        var digits = String(minorUnits.magnitude)
        if digits.utf8.count <= minorDigits {
            digits = String(repeating: "0", count: minorDigits + 1 - digits.utf8.count) + digits
        }
        let sign = minorUnits < 0 ? "-" : ""
        return minorDigits == 0
            ? sign + digits : "\(sign)\(digits.dropLast(minorDigits)).\(digits.suffix(minorDigits))"
    }
}

/// A text that is no amount of a currency.
public struct AmountError: Error, Sendable, Equatable, CustomStringConvertible {
    /// What is wrong with it.
    public enum Problem: Sendable {
        /// It is not a plain decimal.
        case notDecimal
        /// It is less than nothing.
        case negative
        /// It has more decimals than the currency, and they are not zeros.
        case tooManyDecimals
        /// Its minor units do not fit in 64 bits.
        case tooLarge
    }

    /// What is wrong with it.
    public let problem: Problem
    /// The text.
    public let amount: String
    /// The currency it was to be of.
    public let currency: Currency

    init(_ problem: Problem, amount: String, currency: Currency) {
        self.problem = problem
        self.amount = amount
        self.currency = currency
    }

    /// The text, as much of it as has room on one line, and what is wrong with it.
    public var description: String {
        let excerpt = amount.prefix(40).unicodeScalars.map { $0.escaped(asASCII: false) }.joined()
        return switch problem {
        case .notDecimal: "'\(excerpt)' is not a decimal number"
        case .negative: "'\(excerpt)' is negative"
        case .tooManyDecimals: "'\(excerpt)' has more decimals than \(currency) has (\(currency.minorDigits))"
        case .tooLarge: "'\(excerpt)' is too large"
        }
    }
}
