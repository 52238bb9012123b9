/// How Prometheus' text format 0.0.4 writes things.
enum MetricText {
    static func write(_ name: String, _ labels: String, _ value: String, to text: inout String) {
        text += name
        if !labels.isEmpty { text += "{\(labels)}" }
        text += " \(value)\n"
    }

    /// A metric's name, every character that cannot stand there replaced.
    static func name(_ label: String) -> String {
        name(label, allowing: [.init(ascii: "_"), .init(ascii: ":")])
    }

    private static func name(_ text: String, allowing marks: [UInt8]) -> String {
        var bytes = text.utf8.map { byte -> UInt8 in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"):
                byte
            default: marks.contains(byte) ? byte : UInt8(ascii: "_")
            }
        }
        if bytes.first.map({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }) ?? true {
            bytes.insert(UInt8(ascii: "_"), at: 0)
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Labels as they stand between braces, sorted by name. Of two with one name the first counts.
    static func labels(_ dimensions: [(String, String)], of kind: MetricKind) -> String {
        var known: [String: String] = [:]
        for (label, value) in dimensions {
            var name = name(label, allowing: [UInt8(ascii: "_")])
            // A histogram has one of its own.
            if kind == .histogram, name == "le" { name = "exported_le" }
            known[name] = known[name] ?? value
        }
        return known.sorted { $0.key < $1.key }.map { "\($0.key)=\"\(escaped($0.value))\"" }
            .joined(separator: ",")
    }

    static func escaped(_ value: String) -> String {
        escaped(value.unicodeScalars) { $0 == "\"" ? "\\\"" : nil }
    }

    static func escaped(help: String) -> String { escaped(help.unicodeScalars) { _ in nil } }

    private static func escaped(
        _ text: String.UnicodeScalarView, _ more: (Unicode.Scalar) -> String?
    ) -> String {
        var escaped = ""
        for scalar in text {
            switch scalar {
            case "\\": escaped += "\\\\"
            case "\n": escaped += "\\n"
            default:
                if let text = more(scalar) {
                    escaped += text
                } else {
                    escaped.unicodeScalars.append(scalar)
                }
            }
        }
        return escaped
    }

    static func number(_ value: Double) -> String {
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value < 0 ? "-Inf" : "+Inf" }
        if value == value.rounded(), abs(value) < 1e15 { return "\(Int64(value))" }
        return "\(value)"
    }
}
