internal import Hiredis

/// A named log of events, cut into partitions.
///
///     extension Topic { static let orders = Topic("orders") }
public struct Topic: Sendable, Hashable {
    /// The name.
    public let name: TopicName
    /// How many partitions it has; an event's partition key says which one it goes to.
    public let partitions: Int
    /// What becomes of an event that is settled.
    public let kind: TopicKind

    /// A topic. All programs must agree on its number of partitions and its kind.
    public init(_ name: TopicName, partitions: Int = 1, kind: TopicKind = .log) {
        precondition(partitions > 0, "a topic has at least one partition")
        self.name = name
        self.partitions = partitions
        self.kind = kind
    }

    /// The partition of a key: CRC-16/XMODEM, as Redis Cluster has it, modulo the number of partitions.
    public func partition(ofKey key: String) -> Int {
        partitions == 1 ? 0 : Int(HashSlot.crc16(key.utf8)) % partitions
    }
}

/// What becomes of a topic's events once they are settled.
public enum TopicKind: String, Sendable, Hashable, Codable, CaseIterable {
    /// They stay, until retention removes them; every group sees each event.
    case log
    /// They are deleted. Only one group may read the topic.
    case queue
}

/// The name of a topic.
public struct TopicName: Identifier {
    /// The text.
    public let rawValue: String
    /// "topic".
    public static let noun = "topic"
    /// The text as it is.
    public init(unchecked rawValue: String) { self.rawValue = rawValue }
}
