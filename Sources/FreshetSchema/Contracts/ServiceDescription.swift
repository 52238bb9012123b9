public import Freshet

/// A service's contract as a document: what `--describe` prints.
public struct ServiceDescription: Sendable, Hashable, Codable {
    /// Events of one type on one topic.
    public struct Message: Sendable, Hashable, Codable {
        /// What happened.
        public let type: EventType
        /// Where it is published.
        public let topic: TopicName
        /// The newest version; what receives it reads all before it as well.
        public let version: Int
    }

    /// What an event's data is like.
    public struct Event: Sendable, Hashable, Codable {
        /// What happened.
        public let type: EventType
        /// The version.
        public let version: Int
        /// What its data is like.
        public let schema: JSONSchema
    }

    /// The service; also its consumer group.
    public let service: GroupName
    /// What it has handlers for.
    public let receives: [Message]
    /// What it publishes.
    public let sends: [Message]
    /// Each version of each of these events.
    public let events: [Event]

    /// A description from `--describe`. Throws `unreadable`.
    public init(json: some Sequence<UInt8>) throws(SchemaError) {
        let value = try JSONValue(parsing: json)
        do { self = try value.decoded(as: Self.self) } catch {
            throw SchemaError(.unreadable, "not the description of a service")
        }
    }

    init(service: GroupName, receives: [Message], sends: [Message], events: [Event]) {
        self.service = service
        self.receives = receives
        self.sends = sends
        self.events = events
    }
}

/// A version of an event.
public struct EventVersion: Sendable, Hashable, Comparable, CustomStringConvertible {
    /// What happened.
    public let type: EventType
    /// The version, from 1.
    public let version: Int

    /// This version of this event.
    public init(_ type: EventType, _ version: Int) {
        self.type = type
        self.version = version
    }

    /// The version that a schema's file is of; nil when its name is not `TYPE.vN.json`.
    public init?(fileName: String) {
        let parts = fileName.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count > 2, parts.last == "json", let mark = parts.dropLast().last, mark.first == "v",
            let version = Int(mark.dropFirst()), version > 0,
            let type = try? EventType(checking: parts.dropLast(2).joined(separator: "."))
        else { return nil }
        self.init(type, version)
    }

    /// The name of its schema's file.
    public var fileName: String { "\(type).v\(version).json" }
    /// Both, in words.
    public var description: String { "'\(type)' version \(version)" }

    /// By type, then by version.
    public static func < (left: Self, right: Self) -> Bool {
        (left.type, left.version) < (right.type, right.version)
    }
}
