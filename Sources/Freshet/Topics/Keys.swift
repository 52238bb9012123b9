/// The keys of one partition. They share a hash tag, so that a script may touch all of them in a cluster.
public struct PartitionKeys: Sendable, Hashable {
    /// What every key begins with.
    public let namespace: Namespace
    /// The topic.
    public let topic: TopicName
    /// The partition, from 0.
    public let partition: Int

    /// The keys of this partition.
    public init(namespace: Namespace, topic: TopicName, partition: Int) {
        self.namespace = namespace
        self.topic = topic
        self.partition = partition
    }

    /// Stream: the log.
    public var events: String { "\(namespace):events:\(tag)" }
    /// Sorted set: events that are published later.
    public var scheduled: String { "\(namespace):scheduled:\(tag)" }
    /// Text: for a moment, where a publisher asks whether others have what was written.
    var confirmation: String { "\(namespace):confirmation:\(tag)" }
    /// Stream: what this group must see again.
    public func redelivery(_ group: GroupName) -> String { "\(namespace):redelivery:\(tag):\(group)" }
    /// Sorted set: retries that wait for their time.
    public func delayed(_ group: GroupName) -> String { "\(namespace):delayed:\(tag):\(group)" }
    /// Stream: dead letters.
    public func dead(_ group: GroupName) -> String { "\(namespace):dead:\(tag):\(group)" }
    /// Stream: entries that could not be decoded.
    public func invalid(_ group: GroupName) -> String { "\(namespace):invalid:\(tag):\(group)" }
    /// Hash: which consumer of this group owns the partition, and its epoch.
    public func lease(_ group: GroupName) -> String { "\(namespace):lease:\(tag):\(group)" }
    /// Hash: the last epoch of each group on this partition. It outlives the lease.
    var epochs: String { "\(namespace):epochs:\(tag)" }
    /// Text: which consumer of this group looks for what others left; for a moment.
    public func sweep(_ group: GroupName) -> String { "\(namespace):sweep:\(tag):\(group)" }

    /// Hash: how far an outbox of this name has been published to this partition.
    package func published(_ outbox: String) -> String { "\(namespace):published:\(outbox):\(tag)" }
    /// Hash: how far a replay has come with what it puts into this partition.
    package func replayed(_ replay: String) -> String { "\(namespace):replayed:\(tag):\(replay)" }

    private var tag: String { "{\(topic):\(partition)}" }
}

extension Namespace {
    /// Hash: what is known of a topic (`partitions`, and `start:<group>` for each declared group).
    public func topicKey(_ topic: TopicName) -> String { "\(self):topic:{\(topic)}" }
    /// Hash: the live consumers of a group that keeps an order, and what each owns.
    public func membersKey(_ topic: TopicName, _ group: GroupName) -> String {
        "\(self):members:{\(topic)}:\(group)"
    }
    /// Stream: for an hour, when its consumers said that partitions are to change hands.
    public func changesKey(_ topic: TopicName, _ group: GroupName) -> String {
        "\(self):changes:{\(topic)}:\(group)"
    }
    /// Text: which process replays to a group, while it lives.
    public func replayingKey(_ topic: TopicName, _ group: GroupName) -> String {
        "\(self):replaying:{\(topic)}:\(group)"
    }
    /// Sorted set: the replays that were planned, by the time of that.
    public var replaysKey: String { "\(self):replays" }
    /// Hash: a replay's plan, and how it stands.
    public func replayKey(_ replay: String) -> String { "\(self):replay:{\(replay)}" }
    /// Stream: who has had what done by the tools, when and why.
    public var auditKey: String { "\(self):audit" }
}
