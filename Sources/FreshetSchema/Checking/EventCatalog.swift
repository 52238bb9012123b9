internal import Freshet

/// What an export says: the schema of each version of each event, and on which topics events are.
public struct EventCatalog: Sendable {
    struct Place: Hashable, Comparable {
        let type: EventType
        let topic: TopicName

        static func < (left: Self, right: Self) -> Bool {
            (left.type, left.topic) < (right.type, right.topic)
        }
    }

    /// The schemas.
    public private(set) var schemas: [EventVersion: JSONSchema] = [:]
    /// Where each type is, whoever sends it.
    private(set) var places: Set<Place> = []
    /// Where a service sends it.
    private(set) var sent: Set<Place> = []

    /// Whether it says on which topics events are.
    public var hasTopics: Bool { !places.isEmpty }

    /// The schemas of files, and on which topics an AsyncAPI document says that events are. Its own schemas count when there are no
    /// files: one that was removed must not live on in it.
    public init(schemas: [EventVersion: JSONSchema] = [:], asyncAPI document: JSONValue? = nil)
        throws(SchemaError)
    {
        if let document { try read(AsyncAPIDocument(document)) }
        if !schemas.isEmpty { self.schemas = schemas }
    }

    private mutating func read(_ document: AsyncAPIDocument) throws(SchemaError) {
        for (key, channel) in document.members(of: "channels") {
            let topic = channel["x-freshet-topic"]?.string ?? key
            for (_, message) in try document.members(of: channel["messages"]) {
                let version = try Self.version(of: message, in: topic)
                places.insert(try Self.place(version, topic))
                if let payload = message["payload"] {
                    schemas[version] = try document.schema(payload, of: version)
                }
            }
        }
        for (key, operation) in document.members(of: "operations") where operation["action"] == "send" {
            guard let reference = operation["channel"]?["$ref"]?.string else {
                throw SchemaError(.unreadable, "the operation '\(key)' has no channel")
            }
            let channel = try document.resolve(["$ref": .string(reference)])
            let topic =
                channel["x-freshet-topic"]?.string ?? String(reference.split(separator: "/").last ?? "")
            var messages: [JSONValue] = []
            for message in operation["messages"]?.array ?? [] {
                messages.append(try document.resolve(message))
            }
            // Without a list it is all of the channel's.
            if operation["messages"] == nil {
                messages = try document.members(of: channel["messages"]).map(\.value)
            }
            for message in messages {
                sent.insert(try Self.place(try Self.version(of: message, in: topic), topic))
            }
        }
    }

    private static func place(_ version: EventVersion, _ topic: String) throws(SchemaError) -> Place {
        do { return Place(type: version.type, topic: try TopicName(checking: topic)) } catch {
            throw SchemaError(.unreadable, error.message)
        }
    }

    private static func version(of message: JSONValue, in topic: String) throws(SchemaError) -> EventVersion {
        guard let name = message["name"]?.string else {
            throw SchemaError(.unreadable, "a message of '\(topic)' has no name")
        }
        do {
            let version = message["x-freshet-schemaversion"]?.integer ?? 1
            return EventVersion(try EventType(checking: name), Int(version))
        } catch { throw SchemaError(.unreadable, error.message) }
    }
}
