/// What an operator or a program says of a topic: how it is cut, who reads it, how long it is kept, and what publishing
/// promises.
///
///     try await broker.declare(
///         TopicDeclaration(
///             Topic("orders", partitions: 8), groups: [GroupDeclaration("payment", ordering: .perKey)],
///             retention: Retention(age: .seconds(7 * 86_400))))
///
/// The same as JSON, for `freshet topics apply`:
///
///     {"name": "orders", "partitions": 8, "groups": [{"name": "payment", "ordering": "perKey"}], "retention": {"age": "7d"}}
public struct TopicDeclaration: Sendable, Hashable {
    /// Its name, partitions and kind.
    public var topic: Topic
    /// Who reads it. A group that is declared keeps what it has not seen, also before its first consumer starts.
    public var groups: [GroupDeclaration]
    /// How long events are kept that every group has settled.
    public var retention: Retention
    /// What publishing waits for, unless the publisher says otherwise.
    public var durability: Durability
    /// How many entries a partition's log holds at most: publishing to a full one is refused. Nil is any number.
    public var limit: Int?

    /// A topic of which nothing is said is kept for ever.
    public init(
        _ topic: Topic, groups: [GroupDeclaration] = [], retention: Retention = Retention(),
        durability: Durability = .memory, limit: Int? = nil
    ) {
        self.topic = topic
        self.groups = groups
        self.retention = retention
        self.durability = durability
        self.limit = limit
    }
}

/// A group that reads a topic.
public struct GroupDeclaration: Sendable, Hashable {
    /// Its name.
    public var name: GroupName
    /// Where it begins when it does not exist yet.
    public var start: StartPosition
    /// In which order it handles events; nil leaves it to its first consumer.
    public var ordering: Ordering?

    /// A group of this name.
    public init(_ name: GroupName, from start: StartPosition = .earliest, ordering: Ordering? = nil) {
        self.name = name
        self.start = start
        self.ordering = ordering
    }
}

/// How long a topic's events are kept. Whatever it says, an event that a group still needs stays.
public struct Retention: Sendable, Hashable {
    /// How old an event may become, by the server's clock; nil is any age.
    public var age: Duration?
    /// How many entries each partition keeps; nil is any number.
    public var count: Int?
    /// How many bytes of names and values each partition keeps, by the average size of its oldest and newest entries; nil
    /// is any number.
    public var bytes: Int?
    /// Whether only what is archived is cut off (`replay archive`), however old or much the rest is.
    public var archivedOnly: Bool

    /// What is not said does not limit.
    public init(age: Duration? = nil, count: Int? = nil, bytes: Int? = nil, archivedOnly: Bool = false) {
        self.age = age
        self.count = count
        self.bytes = bytes
        self.archivedOnly = archivedOnly
    }

    /// Whether everything is kept.
    public var isUnlimited: Bool { age == nil && count == nil && bytes == nil }
}

/// What an event must have survived when publishing it succeeds.
public enum Durability: Sendable, Hashable {
    /// It is in the memory of the server, which writes it to disk as it is configured to.
    case memory
    /// So many replicas have it in memory as well. A failover to one that has not can still lose it.
    case replicated(Int, within: Duration)
    /// The server has written it to its append-only file and synced that (Redis 7.2, Valkey).
    case fsynced(within: Duration)
}
