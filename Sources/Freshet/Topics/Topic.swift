internal import Hiredis

/// A named log of events, cut into partitions.
///
///     extension Topic { static let orders = Topic("orders") }
public struct Topic: Sendable, Hashable {
    /// The name.
    public let name: TopicName
    /// How many partitions it has; an event's partition key says which one it goes to.
    public let partitions: Int

    /// A topic. All programs must agree on its number of partitions.
    public init(_ name: TopicName, partitions: Int = 1) {
        precondition(partitions > 0, "a topic has at least one partition")
        self.name = name
        self.partitions = partitions
    }

    /// The partition of a key: CRC-16/XMODEM, as Redis Cluster has it, modulo the number of partitions.
    public func partition(ofKey key: String) -> Int {
        partitions == 1 ? 0 : Int(HashSlot.crc16(key.utf8)) % partitions
    }
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
