package import Hiredis

/// Where a partition's log ends and where a group stands in it, at one moment.
package struct LogPosition: Sendable {
    /// The newest id that was given out, also when its entry is gone.
    package let newest: StreamID
    /// How many entries were ever added.
    package let added: Int
    /// The last entry that was delivered to the group; nil when the group does not exist there.
    package let delivered: StreamID?
    /// How many entries of the log the group holds.
    package let pending: Int
}

extension Broker {
    /// Where the log ends and the group stands; nil when the partition has no log.
    package func position(of group: GroupName, topic: TopicName, partition: Int) async throws(FreshetError)
        -> LogPosition?
    {
        let reply = try await run(
            InspectionScripts.position, keys: [keys(topic, partition).events], group.rawValue)
        guard let parts = reply.array.map(Array.init), !parts.isEmpty else { return nil }
        guard parts.count == 4, let newest = parts[0].streamID,
            let added = parts[1].integer, let pending = parts[3].integer
        else { throw FreshetError(RedisError(.unexpectedReply, "a position of another shape")) }
        let delivered = parts[2].streamID
        return LogPosition(newest: newest, added: added, delivered: delivered, pending: pending)
    }

    /// Lowers the id from which the group would be made again if it vanished; never raises it.
    package func lowerStart(of group: GroupName, topic: TopicName, partition: Int, to position: StreamID)
        async throws(FreshetError)
    {
        let (key, field) = (namespace.topicKey(topic), "start:\(group):\(partition)")
        guard let start = try await send(RedisCommand("HGET", key, field)).streamID, position < start
        else { return }
        _ = try await send(RedisCommand("HSET", key, field, position))
    }
}
