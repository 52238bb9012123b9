internal import FoundationEssentials

/// The data of one type of event, as the program sees it; JSON with camelCase keys on the wire.
///
///     struct OrderPlaced: EventPayload {
///         static let eventType: EventType = "order.placed"
///         let orderId: String
///     }
///
/// A shape that others cannot read any more is a new version, and says how the one before becomes it: see `Upcast`.
public protocol EventPayload: Codable, Sendable {
    /// What happened.
    static var eventType: EventType { get }
    /// The version of this shape. 1 unless said otherwise.
    static var schemaVersion: Int { get }
    /// How the version before becomes this one. Nothing unless said otherwise: this is the first.
    static var upcast: Upcast<Self> { get }
}

extension EventPayload {
    /// 1.
    public static var schemaVersion: Int { 1 }
    /// There is no version before.
    public static var upcast: Upcast<Self> { .none }
}

extension Event {
    /// An event that says this. Throws when the payload cannot be written as JSON.
    ///
    /// - Parameters:
    ///   - key: what must stay in order.
    ///   - cause: the event that this one follows; it goes on with its story.
    public init(
        _ payload: some EventPayload, source: String, id: String? = nil, time: Timestamp = .now(),
        key: String? = nil, causedBy cause: Event? = nil
    ) throws(FreshetError) {
        let type = Swift.type(of: payload)
        self.init(
            id: id, source: source, type: type.eventType, schemaVersion: type.schemaVersion, time: time,
            partitionKey: key, correlationID: cause?.correlationID ?? cause?.id, causationID: cause?.id,
            traceparent: cause?.traceparent, data: EventData(try JSON.encode(payload)))
    }

    /// The payload as this type, brought to its version when it is older. Throws, saying where, when the media type is not JSON,
    /// the data is not of the shape that its version says, or the version is newer than the type's (`newerVersion`).
    public func payload<Payload: EventPayload>(_ type: Payload.Type) throws(FreshetError) -> Payload {
        guard contentType == "application/json" || contentType.hasSuffix("+json") else {
            throw FreshetError(.invalidEvent, "the media type '\(contentType.prefix(60))' is not JSON")
        }
        return try Payload.read(self)
    }

    /// The data as this type, whatever version the event says. Throws, saying where, when it is not JSON of that shape.
    public func decode<Payload: Decodable>(_ type: Payload.Type) throws(FreshetError) -> Payload {
        try JSON.decode(type, from: data)
    }
}

enum JSON {
    static func encode(_ value: some Encodable) throws(FreshetError) -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        do {
            return [UInt8](try encoder.encode(value))
        } catch {
            throw FreshetError(.invalidData, "cannot be written as JSON: \(error)")
        }
    }

    static func decode<Value: Decodable>(_ type: Value.Type, from data: EventData) throws(FreshetError)
        -> Value
    {
        do {
            return try JSONDecoder().decode(type, from: Data(data.bytes))
        } catch let error as DecodingError {
            throw FreshetError(.invalidData, explain(error))
        } catch {
            throw FreshetError(.invalidData, "not JSON: \(error)")
        }
    }

    private static func explain(_ error: DecodingError) -> String {
        func place(_ context: DecodingError.Context, _ last: (any CodingKey)? = nil) -> String {
            let path = (context.codingPath + (last.map { [$0] } ?? [])).map { key in
                key.intValue.map { "[\($0)]" } ?? ".\(key.stringValue)"
            }
            return "data" + path.joined()
        }
        switch error {
        case .keyNotFound(let key, let context): return "\(place(context, key)) is missing"
        case .valueNotFound(_, let context): return "\(place(context)) is null"
        case .typeMismatch(let type, let context): return "\(place(context)) is no \(type)"
        case .dataCorrupted(let context):
            return context.codingPath.isEmpty
                ? "data is not JSON" : "\(place(context)): \(context.debugDescription)"
        @unknown default: return "data cannot be read"
        }
    }
}
