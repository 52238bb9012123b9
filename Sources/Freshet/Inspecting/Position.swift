internal import Hiredis

/// Where a group stands in one partition's log.
package struct GroupPosition: Sendable {
    package let lastDelivered: StreamID
    package let pending: Int
    package let newest: StreamID
}

extension Broker {
    /// Where the group stands. Throws `notFound` when it does not exist on the log.
    package func position(of group: GroupName, topic: TopicName, partition: Int) async throws(FreshetError)
        -> GroupPosition
    {
        let stream = keys(topic, partition).events
        guard let state = try await groupStates(of: stream)[group.rawValue] else {
            throw FreshetError(.notFound, "no group '\(group)' on '\(stream)'")
        }
        let newest = try await send(RedisCommand("XINFO", "STREAM", stream)).value(of: "last-generated-id")
        return GroupPosition(
            lastDelivered: state.lastDelivered, pending: state.pending,
            newest: newest?.string.flatMap { StreamID($0) } ?? .zero)
    }

    /// How many entries lie between two positions: to be read again when the move goes back, passed over when it goes
    /// forth.
    package func distance(topic: TopicName, partition: Int, from: StreamID, to: StreamID)
        async throws(FreshetError)
        -> (readAgain: Int, passedOver: Int)
    {
        let stream = keys(topic, partition).events
        let behindFrom = try await count(stream, after: from, most: .max).count
        let behindTo = try await count(stream, after: to, most: .max).count
        return (max(0, behindTo - behindFrom), max(0, behindFrom - behindTo))
    }

    /// Moves the group, with the count of entries before the new position, so that the server's own lag stays right.
    package func setPosition(of group: GroupName, topic: TopicName, partition: Int, to: StreamID)
        async throws(FreshetError)
    {
        let stream = keys(topic, partition).events
        let added =
            try await send(RedisCommand("XINFO", "STREAM", stream)).value(of: "entries-added")?.integer ?? 0
        let behind = try await count(stream, after: to, most: .max).count
        _ = try await send(
            RedisCommand(
                "XGROUP", "SETID", stream, group.rawValue, to.description, "ENTRIESREAD",
                max(0, added - behind)))
    }

    /// Ends the blocking reads of a group's consumers, so that they read on from the new position. An ACL may forbid it;
    /// then they do when their reads end by themselves.
    package func wakeReaders(of group: GroupName) async {
        guard let list = try? await client.send(RedisCommand("CLIENT", "LIST")).string else { return }
        for line in list.split(separator: "\n") where line.contains(" name=\(namespace):\(group):") {
            guard let id = line.split(separator: " ").first(where: { $0.hasPrefix("id=") }) else { continue }
            _ = try? await client.send(RedisCommand("CLIENT", "UNBLOCK", id.dropFirst(3)))
        }
    }
}
