/// A currency by its ISO 4217 code, and how its amounts are written.
public struct Currency: Sendable, Hashable {
    /// Three capital letters.
    public let code: String
    /// How many decimals an amount has: cents are two.
    public let decimals: Int

    /// The currency with this code, or nil when ISO 4217 has none.
    public init?(_ code: String) {
        guard Self.codes.contains(code) else { return nil }
        self.code = code
        decimals = Self.unusual[code] ?? 2
    }

    /// An amount in minor units, from a decimal like `29.33`, exactly. Throws a reason when it is not such a decimal, is
    /// negative, has more decimals than the currency (zeros do not count), or is too large.
    public func minorUnits(_ text: some StringProtocol) throws(AmountError) -> Int64 {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard !text.hasPrefix("-") else { throw AmountError(description: "the amount '\(text)' is negative") }
        guard parts.count <= 2,
            parts.allSatisfy({ !$0.isEmpty && $0.utf8.allSatisfy { (48...57).contains($0) } })
        else { throw AmountError(description: "the amount '\(text)' is not a decimal number") }
        var fraction = parts.count == 2 ? parts[1] : ""
        while fraction.count > decimals, fraction.hasSuffix("0") { fraction = fraction.dropLast() }
        guard fraction.count <= decimals else {
            throw AmountError(
                description: "the amount '\(text)' has more decimals than \(code) has (\(decimals))")
        }
        let digits =
            String(parts[0]) + String(fraction) + String(repeating: "0", count: decimals - fraction.count)
        guard let amount = Int64(digits) else {
            throw AmountError(description: "the amount '\(text)' is too large")
        }
        return amount
    }

    private static let unusual = [
        "BIF": 0, "CLP": 0, "DJF": 0, "GNF": 0, "ISK": 0, "JPY": 0, "KMF": 0, "KRW": 0, "PYG": 0, "RWF": 0,
        "UGX": 0,
        "UYI": 0, "VND": 0, "VUV": 0, "XAF": 0, "XOF": 0, "XPF": 0, "BHD": 3, "IQD": 3, "JOD": 3, "KWD": 3,
        "LYD": 3,
        "OMR": 3, "TND": 3, "CLF": 4, "UYW": 4,
    ]

    private static let codes = Set(
        """
        AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CLF \
        CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG \
        HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA \
        MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD \
        RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX \
        USD UYI UYU UYW UZS VED VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG
        """.split(separator: " ").map(String.init))
}

/// Why a text is not an amount.
public struct AmountError: Error, Sendable, CustomStringConvertible {
    /// The reason.
    public let description: String
}
