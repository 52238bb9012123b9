extension SchemaComparison {
    /// Keywords that say nothing about what is allowed.
    private static let remarks: Set<String> = [
        "$schema", "$id", "$comment", "title", "description", "examples", "default", "deprecated", "readOnly",
        "writeOnly",
    ]
    private static let compared: Set<String> = [
        "type", "enum", "const", "format", "minimum", "maximum", "properties", "required",
        "additionalProperties",
    ]

    /// A number's range: what its bounds and the width in its format leave.
    mutating func compareRange(_ old: [String: JSONValue], _ new: [String: JSONValue], _ path: String) {
        let (before, after) = (NumberRange(old), NumberRange(new))
        let formats = (old["format"]?.string, new["format"]?.string)
        if before != after {
            note(
                path, "\(before) became \(after)",
                narrower: after.least > before.least || after.most < before.most,
                wider: after.least < before.least || after.most > before.most)
        } else if formats.0 != formats.1 {
            let change = "format \(formats.0 ?? "none") became \(formats.1 ?? "none")"
            if before.hasWidth || after.hasWidth {
                noteCompatible(path, change, "it allows the same")
            } else {
                note(path, change, narrower: formats.1 != nil, wider: formats.0 != nil)
            }
        }
    }

    /// Everything else: limits that are numbers, and keywords that only a validator could judge.
    mutating func compareOthers(_ old: [String: JSONValue], _ new: [String: JSONValue], _ path: String) {
        for keyword in Set(old.keys).union(new.keys).sorted()
        where !Self.remarks.contains(keyword) && !Self.compared.contains(keyword) && !keyword.hasPrefix("x-")
        {
            let (before, after) = (old[keyword], new[keyword])
            // Compared where they are when both have them.
            if before == after || (keyword == "items" && before != nil && after != nil) { continue }
            let change = "\(keyword) \(before?.line ?? "none") became \(after?.line ?? "none")"
            let limits = (before?.integer, after?.integer)
            if keyword.hasPrefix("min"), limits.0 != nil || limits.1 != nil {
                let (least, now) = (limits.0 ?? .min, limits.1 ?? .min)
                note(path, change, narrower: now > least, wider: now < least)
            } else if keyword.hasPrefix("max"), limits.0 != nil || limits.1 != nil {
                let (most, now) = (limits.0 ?? .max, limits.1 ?? .max)
                note(path, change, narrower: now < most, wider: now > most)
            } else {
                note(path, change, narrower: after != nil, wider: before != nil)
            }
        }
    }
}

private struct NumberRange: Equatable, CustomStringConvertible {
    let least, most: Double
    /// Whether the format is a whole number's width.
    let hasWidth: Bool
    let description: String

    init(_ schema: [String: JSONValue]) {
        func number(_ keyword: String) -> Double? {
            switch schema[keyword] {
            case .integer(let number): Double(number)
            case .number(let number): number
            default: nil
            }
        }
        let format = schema["format"]?.string ?? ""
        let isSigned = !format.hasPrefix("u")
        let bits =
            format.hasPrefix("int") || format.hasPrefix("uint") ? Int(format.drop { !$0.isNumber }) : nil
        var (low, high) = (-Double.infinity, Double.infinity)
        if let bits, (1...64).contains(bits) {
            let span = Double(sign: .plus, exponent: isSigned ? bits - 1 : bits, significand: 1)
            (low, high) = (isSigned ? -span : 0, span - 1)
        }
        hasWidth = bits != nil
        least = max(low, number("minimum") ?? low)
        most = min(high, number("maximum") ?? high)
        let bounds = [
            schema["minimum"].map { "from \($0.line)" }, schema["maximum"].map { "through \($0.line)" },
        ].compactMap { $0 }.joined(separator: " ")
        description = [hasWidth ? format : "", bounds].filter { !$0.isEmpty }.joined(separator: " ")
    }

    static func == (left: NumberRange, right: NumberRange) -> Bool {
        left.least == right.least && left.most == right.most
    }
}
