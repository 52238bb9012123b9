/// What one decoder was asked for.
final class ShapeRecord {
    /// The members of an object; nil when it was not read as one.
    var members: [String: ShapeRecord]?
    /// Those that may be missing.
    var optional: Set<String> = []
    /// Those that may be `null`.
    var nullable: Set<String> = []
    /// A list's elements; nil when it was not read as one.
    var elements: [ShapeRecord]?
    /// A value that is known.
    var value: JSONSchema?
    var isNullable = false

    init(_ value: JSONSchema? = nil) { self.value = value }

    func schema(at place: Place, of type: Any.Type) throws -> JSONSchema {
        let schema: JSONSchema
        switch (members, elements, value) {
        case (let members?, nil, nil):
            schema = .object(
                try members.reduce(into: [:]) {
                    let schema = try $1.value.schema(at: place.at(Name($1.key)), of: type)
                    $0[$1.key] = nullable.contains($1.key) ? schema.orNull : schema
                }, optional: optional)
        case (nil, let elements?, nil):
            guard let first = elements.first else { throw place.failure(type, "its elements cannot be seen") }
            let element = try first.schema(at: place.at(Name(0)), of: type)
            for other in elements.dropFirst()
            where try other.schema(at: place.at(Name(0)), of: type) != element {
                throw place.failure(type, "its elements are of several types")
            }
            schema = .array(of: element)
        case (nil, nil, let value?): schema = value
        case (nil, nil, nil): throw place.failure(type, "it reads nothing")
        default: throw place.failure(type, "it reads one thing or another")
        }
        return isNullable ? schema.orNull : schema
    }
}

/// Any member's name, or an element's place.
struct Name: CodingKey {
    let stringValue: String
    let intValue: Int?
    init(_ name: String) { (stringValue, intValue) = (name, nil) }
    init(_ index: Int) { (stringValue, intValue) = ("\(index)", index) }
    init?(stringValue: String) { self.init(stringValue) }
    init?(intValue: Int) { self.init(intValue) }
}
