/// A JSON Schema of draft 2020-12: what a value in JSON has to be like.
///
/// An object may have other members than its `properties`, unless `additionalProperties` says otherwise: programs pass over
/// what they do not know.
public struct JSONSchema: Sendable, Hashable, Codable {
    /// What it says, by keyword; always an object.
    public private(set) var keywords: [String: JSONValue]

    /// A schema of these keywords. For what the functions below do not say.
    public init(_ keywords: [String: JSONValue]) { self.keywords = keywords }

    /// A schema in a document.
    public init(from decoder: any Decoder) throws {
        keywords = try decoder.singleValueContainer().decode([String: JSONValue].self)
    }

    /// As it is read again.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(keywords)
    }

    /// The schema as JSON.
    public var json: JSONValue { .object(keywords) }

    /// This schema and a keyword more.
    public func with(_ keyword: String, _ value: JSONValue?) -> JSONSchema {
        var schema = self
        schema.keywords[keyword] = value
        return schema
    }
}

extension JSONSchema {
    /// `true` or `false`.
    public static var boolean: JSONSchema { JSONSchema(["type": "boolean"]) }

    /// A text.
    public static var string: JSONSchema { string() }

    /// A text of a format (`date-time`, `uuid`, ...).
    public static func string(format: String? = nil) -> JSONSchema {
        JSONSchema(["type": "string"]).with("format", format.map { .string($0) })
    }

    /// A number.
    public static var number: JSONSchema { JSONSchema(["type": "number"]) }

    /// A whole number.
    ///
    /// - Parameters:
    ///   - format: how wide it is: `int32`, `int64`, ...
    ///   - least: the least; nil where the format says it.
    ///   - most: the most; nil where the format says it.
    public static func integer(
        format: String? = nil, from least: Int64? = nil, through most: Int64? = nil
    ) -> JSONSchema {
        JSONSchema(["type": "integer"]).with("format", format.map { .string($0) })
            .with("minimum", least.map { .integer($0) }).with("maximum", most.map { .integer($0) })
    }

    /// One of these values.
    public static func oneOf(_ values: [JSONValue]) -> JSONSchema {
        let type: JSONValue? =
            values.allSatisfy { $0.string != nil }
            ? "string" : values.allSatisfy { $0.integer != nil } ? "integer" : nil
        return JSONSchema(["enum": .array(values)]).with("type", type)
    }

    /// A list.
    public static func array(of element: JSONSchema) -> JSONSchema {
        JSONSchema(["type": "array", "items": element.json])
    }

    /// An object with members of any name.
    public static func map(of value: JSONSchema) -> JSONSchema {
        JSONSchema(["type": "object", "additionalProperties": value.json])
    }

    /// An object with these members, and maybe others.
    ///
    /// - Parameter optional: the names of those that may be missing.
    public static func object(
        _ properties: [String: JSONSchema], optional: Set<String> = []
    ) -> JSONSchema {
        let required = properties.keys.filter { !optional.contains($0) }.sorted()
        return JSONSchema([
            "type": "object", "properties": .object(properties.mapValues(\.json)),
            "required": .array(required.map { .string($0) }),
        ])
    }

    /// The same, or `null`.
    public var orNull: JSONSchema {
        var schema = self
        switch keywords["type"] {
        case .string(let type): schema.keywords["type"] = [.string(type), "null"]
        case .array(let types) where !types.contains("null"):
            schema.keywords["type"] = .array(types + ["null"])
        default: break
        }
        if let values = keywords["enum"]?.array, !values.contains(.null) {
            schema.keywords["enum"] = .array(values + [.null])
        }
        return schema
    }
}
