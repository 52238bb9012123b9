internal import FoundationEssentials

/// Any JSON. Objects have no order; they are written with their members sorted by name.
public enum JSONValue: Sendable, Hashable {
    /// `null`.
    case null
    /// `true` or `false`.
    case boolean(Bool)
    /// A whole number.
    case integer(Int64)
    /// A number with a fraction, or one too large to be an `Int64`.
    case number(Double)
    /// A text.
    case string(String)
    /// A list.
    case array([JSONValue])
    /// Members by name.
    case object([String: JSONValue])

    /// An object's member; nil when there is none, or this is no object.
    public subscript(name: String) -> JSONValue? {
        get { object?[name] }
        set {
            guard case .object(var members) = self else { return }
            members[name] = newValue
            self = .object(members)
        }
    }

    /// An object's members; nil when this is none.
    public var object: [String: JSONValue]? { if case .object(let members) = self { members } else { nil } }
    /// A list's elements; nil when this is none.
    public var array: [JSONValue]? { if case .array(let elements) = self { elements } else { nil } }
    /// A text; nil when this is none.
    public var string: String? { if case .string(let text) = self { text } else { nil } }
    /// A whole number; nil when this is none.
    public var integer: Int64? { if case .integer(let number) = self { number } else { nil } }
}

extension JSONValue {
    /// What this text says. Throws `unreadable` when it is not JSON.
    public init(parsing text: some Sequence<UInt8>) throws(SchemaError) {
        do { self = try JSONDecoder().decode(JSONValue.self, from: Data(text)) } catch {
            throw SchemaError(.unreadable, "not JSON")
        }
    }

    /// What a value is in JSON. Throws what its `encode(to:)` throws.
    init(encoding value: some Encodable) throws {
        // In a list: some decoders take no bare value.
        let text = try JSONEncoder().encode([value])
        self = try JSONDecoder().decode([JSONValue].self, from: text)[0]
    }

    /// The value of this type that this is in JSON.
    func decoded<Value: Decodable>(as type: Value.Type) throws -> Value {
        try JSONDecoder().decode([Value].self, from: try JSONEncoder().encode([self]))[0]
    }

    /// As text, a member a line, always the same for the same value.
    public var text: String { written([.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]) }

    /// As text on one line.
    public var line: String { written([.sortedKeys, .withoutEscapingSlashes]) }

    private func written(_ formatting: JSONEncoder.OutputFormatting) -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = formatting
        do { return String(decoding: try encoder.encode(self), as: UTF8.self) } catch {
            preconditionFailure("JSON that is not: \(error)")
        }
    }
}

extension JSONValue: Codable {
    /// Any JSON.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if container.decodeNil() {
            self = .null
        } else if let value = try? container.decode(Bool.self) {
            self = .boolean(value)
        } else if let value = try? container.decode(Int64.self) {
            self = .integer(value)
        } else if let value = try? container.decode(Double.self) {
            self = .number(value)
        } else if let value = try? container.decode(String.self) {
            self = .string(value)
        } else if let value = try? container.decode([JSONValue].self) {
            self = .array(value)
        } else {
            self = .object(try container.decode([String: JSONValue].self))
        }
    }

    /// The same JSON.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .null: try container.encodeNil()
        case .boolean(let value): try container.encode(value)
        case .integer(let value): try container.encode(value)
        case .number(let value): try container.encode(value)
        case .string(let value): try container.encode(value)
        case .array(let value): try container.encode(value)
        case .object(let value): try container.encode(value)
        }
    }
}

extension JSONValue: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByBooleanLiteral,
    ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
    /// A text.
    public init(stringLiteral text: String) { self = .string(text) }
    /// A whole number.
    public init(integerLiteral number: Int64) { self = .integer(number) }
    /// `true` or `false`.
    public init(booleanLiteral value: Bool) { self = .boolean(value) }
    /// A list.
    public init(arrayLiteral elements: JSONValue...) { self = .array(elements) }
    /// An object; of two members with one name the last counts.
    public init(dictionaryLiteral members: (String, JSONValue)...) {
        self = .object(Dictionary(members) { $1 })
    }
}
