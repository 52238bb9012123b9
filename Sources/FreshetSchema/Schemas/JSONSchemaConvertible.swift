/// A type that says itself what it is like in JSON, because it cannot be seen from how it is decoded: it checks what it reads,
/// or reads one thing or another.
///
///     extension CurrencyCode: JSONSchemaConvertible {
///         static var jsonSchema: JSONSchema {
///             JSONSchema.string.with("pattern", "^[A-Z]{3}$").with("examples", ["EUR"])
///         }
///     }
public protocol JSONSchemaConvertible {
    /// The schema. Where the type does not read the empty text, 0, `false`, `[]` or `{}`, its `examples` begin with something that
    /// it reads: whoever holds the type is decoded with it.
    static var jsonSchema: JSONSchema { get }
}

extension JSONSchema {
    /// A value of this schema, as far as can be told.
    var example: JSONValue {
        if let example = keywords["examples"]?.array?.first ?? keywords["enum"]?.array?.first {
            return example
        }
        if let value = keywords["const"] ?? keywords["default"] { return value }
        switch keywords["type"] {
        case "string": return ""
        case "integer", "number": return keywords["minimum"] ?? 0
        case "boolean": return false
        case "array": return []
        case "object": return [:]
        default: return .null
        }
    }
}
