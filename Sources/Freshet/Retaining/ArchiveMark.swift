package import Hiredis

extension Broker {
    /// Says that all entries of a partition up to this one are in an archive, which was read again: a retention that keeps
    /// what is not archived may cut them off.
    package func mark(_ topic: TopicName, _ partition: Int, archivedThrough id: StreamID)
        async throws(FreshetError)
    {
        _ = try await send(RedisCommand("HSET", namespace.topicKey(topic), ArchiveMark.field(partition), id))
    }
}

/// Up to where a partition is archived, in the topic's hash.
enum ArchiveMark {
    static func field(_ partition: Int) -> String { "archived:\(partition)" }
    /// What holds a cut back, beside groups. No group can have this name.
    static let holder = "(archive)"
}
