// What a type asks of a decoder says what it needs: its `init(from:)` runs on one that notes each question and answers it with
// something empty.

internal import Freshet

extension JSONSchema {
    /// The schema of what this type reads. What it may leave out is not required; text, numbers, lists, dictionaries, types inside it, and
    /// enumerations that are `CaseIterable` follow by themselves.
    ///
    /// Throws `underivable`, with the type and the place, for one that does not take what is empty, holds itself, or reads one thing
    /// or another (an enumeration with values): let it be `JSONSchemaConvertible`. What a type reads only after a look at something
    /// else stays unseen.
    public init<Value: Decodable>(of type: Value.Type) throws(SchemaError) {
        let observation = Observation()
        do {
            self = try Place(root: type, observation: observation).shape(of: type).schema
        } catch let error as SchemaError {
            throw observation.failure ?? error
        } catch {
            throw SchemaError(.underivable, "\(type): \(error)")
        }
        // One that the type has caught is as good a reason.
        if let failure = observation.failure { throw failure }
    }

    /// The schema of an event's data, as a document of its own.
    init(document type: any EventPayload.Type) throws(SchemaError) {
        self = try Self.schema(of: type)
            .with("$schema", "https://json-schema.org/draft/2020-12/schema")
            .with("title", .string("\(type.eventType) version \(type.schemaVersion)"))
    }

    private static func schema<Payload: EventPayload>(of type: Payload.Type) throws(SchemaError) -> JSONSchema
    {
        try JSONSchema(of: type)
    }
}

/// What is known of a type: its schema, and a value with which whoever asked for it goes on.
struct Shape<Value> {
    let schema: JSONSchema
    let sample: Value
}

/// One run over a type and all in it.
final class Observation {
    var failure: SchemaError?
}

/// Where in a type one is.
struct Place: CustomStringConvertible {
    private let root: Any.Type
    private let observation: Observation
    private(set) var path: [any CodingKey] = []
    /// The types on the way here.
    private var types: [Any.Type] = []

    init(root: Any.Type, observation: Observation) {
        self.root = root
        self.observation = observation
    }

    var description: String {
        path.reduce("\(root)") { text, key in text + (key.intValue == nil ? ".\(key.stringValue)" : "[]") }
    }

    func at(_ key: some CodingKey) -> Place {
        var place = self
        place.path.append(key)
        return place
    }

    func shape<Value: Decodable>(of type: Value.Type) throws -> Shape<Value> {
        if let type = type as? any JSONSchemaConvertible.Type { return try handMade(type.jsonSchema) }
        if let type = type as? any Shaped.Type { return try open(type) }
        if let type = type as? any (CaseIterable & Encodable).Type,
            let values = try Self.values(of: type), let sample = type.firstCase as? Value
        {
            return Shape(schema: .oneOf(values), sample: sample)
        }
        guard !types.contains(where: { $0 == type }) else { throw failure(type, "it holds itself") }
        var inside = self
        inside.types.append(type)
        let decoder = ShapeDecoder(at: inside)
        let sample: Value
        do { sample = try Value(from: decoder) } catch let error as SchemaError { throw error } catch {
            throw failure(type, "its init(from:) does not take what is empty: \(Self.reason(error))")
        }
        return Shape(schema: try decoder.record.schema(at: self, of: type), sample: sample)
    }

    func failure(_ type: Any.Type, _ reason: String) -> SchemaError {
        let place = path.isEmpty ? "" : " (\(self))"
        let error = SchemaError(
            .underivable,
            "the schema of \(type)\(place) cannot be derived: \(reason). Let \(type) be JSONSchemaConvertible"
        )
        observation.failure = observation.failure ?? error
        return error
    }

    private func open<Value, Known: Shaped>(_ type: Known.Type) throws -> Shape<Value> {
        let shape = try type.shape(at: self)
        guard let sample = shape.sample as? Value else { throw failure(Value.self, "it is no \(type)") }
        return Shape(schema: shape.schema, sample: sample)
    }

    private func handMade<Value: Decodable>(_ schema: JSONSchema) throws -> Shape<Value> {
        do {
            return Shape(schema: schema, sample: try schema.example.decoded(as: Value.self))
        } catch {
            let example = schema.example.line
            throw failure(
                Value.self, "it does not read \(example), its jsonSchema's example: \(Self.reason(error))")
        }
    }

    /// The cases as they are written; nil when they are not plain values.
    private static func values<Cases: CaseIterable & Encodable>(of type: Cases.Type) throws -> [JSONValue]? {
        let values = try type.allCases.map { try JSONValue(encoding: $0) }
        return values.allSatisfy { $0.object == nil && $0.array == nil } ? values : nil
    }

    private static func reason(_ error: any Error) -> String {
        guard let error = error as? DecodingError else { return "\(error)" }
        switch error {
        case .dataCorrupted(let context), .keyNotFound(_, let context), .typeMismatch(_, let context),
            .valueNotFound(_, let context):
            return context.debugDescription
        @unknown default: return "\(error)"
        }
    }
}

extension CaseIterable {
    fileprivate static var firstCase: Any? { allCases.first }
}
