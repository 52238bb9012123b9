internal import FoundationEssentials
internal import Hiredis

/// A condition on one attribute of an event, or on one place in its JSON data, as an operator writes it.
///
/// `source=till`, `subject!=o-1`, `data.customer.id=c-7`, `data.lines.0.quantity>=10`. The name is an attribute's, or `data` and
/// the way into it, members and positions from 0. Numbers are compared as numbers when both sides are, anything else as text. What is
/// not there fulfils only `!=`.
public struct FieldMatch: Sendable, Hashable, CustomStringConvertible {
    enum Comparison: String, CaseIterable {
        // The longer ones first, as they are looked for.
        case notEqual = "!=", atMost = "<=", atLeast = ">=", equal = "=", less = "<", greater = ">"
    }

    /// As it was written.
    public let description: String
    private let name: String
    private let path: [String]
    private let comparison: Comparison
    private let value: String

    /// Nil when the text is no condition.
    public init?(_ text: String) {
        guard let sign = text.firstIndex(where: { "=!<>".contains($0) }), sign > text.startIndex,
            let comparison = Comparison.allCases.first(where: { text[sign...].hasPrefix($0.rawValue) })
        else { return nil }
        let parts = text[..<sign].split(separator: ".", omittingEmptySubsequences: false).map(String.init)
        guard !parts.contains(""), parts.count == 1 || parts[0] == "data" else { return nil }
        description = text
        name = parts[0]
        path = Array(parts.dropFirst())
        self.comparison = comparison
        value = String(text[sign...].dropFirst(comparison.rawValue.count))
    }

    /// What `init` reads, for help texts and errors.
    public static let forms =
        "NAME=VALUE, with !=, <, <=, > or >= instead of =; NAME is an attribute, or data.MEMBER.MEMBER"

    /// Whether the entry fulfils it.
    func holds(for entry: StreamEntry) -> Bool {
        guard let bytes = entry.field(name) else { return comparison == .notEqual }
        guard !path.isEmpty else { return holds(for: bytes.string) }
        let data = try? JSONDecoder().decode(JSONPlace.self, from: Data(bytes.array))
        guard let text = data?.text(at: path[...]) else { return comparison == .notEqual }
        return holds(for: text)
    }

    private func holds(for text: String) -> Bool {
        func compared<Value: Comparable>(_ left: Value, _ right: Value) -> Bool {
            switch comparison {
            case .equal: left == right
            case .notEqual: left != right
            case .less: left < right
            case .atMost: left <= right
            case .greater: left > right
            case .atLeast: left >= right
            }
        }
        if let left = Decimal(string: text), let right = Decimal(string: value), Self.isNumber(text),
            Self.isNumber(value)
        {
            return compared(left, right)
        }
        return compared(text, value)
    }

    /// As JSON writes them: `0x7` and `1_000` are texts.
    private static func isNumber(_ text: String) -> Bool {
        text.utf8.count <= 40 && text.utf8.allSatisfy { (48...57).contains($0) || "+-.eE".utf8.contains($0) }
            && Double(text)?.isFinite == true
    }
}

extension FieldMatch: Codable {
    /// As it was written.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        guard let match = FieldMatch(try container.decode(String.self)) else {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "no condition")
        }
        self = match
    }

    /// As it was written.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}

/// JSON, for looking at one place in it.
private enum JSONPlace: Decodable {
    case text(String)
    case list([JSONPlace])
    case object([String: JSONPlace])

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if let text = try? container.decode(String.self) {
            self = .text(text)
        } else if let flag = try? container.decode(Bool.self) {
            self = .text(flag ? "true" : "false")
        } else if let number = try? container.decode(Decimal.self) {
            self = .text("\(number)")
        } else if let list = try? container.decode([JSONPlace].self) {
            self = .list(list)
        } else if container.decodeNil() {
            self = .text("null")
        } else {
            self = .object(try container.decode([String: JSONPlace].self))
        }
    }

    func text(at path: ArraySlice<String>) -> String? {
        switch (self, path.first) {
        case (.text(let text), nil): return text
        case (.list(let list), let step?):
            guard let index = Int(step), list.indices.contains(index) else { return nil }
            return list[index].text(at: path.dropFirst())
        case (.object(let object), let step?): return object[step]?.text(at: path.dropFirst())
        default: return nil
        }
    }
}
