internal import Hiredis

extension Broker {
    /// Sees to it that the group exists on every partition's log and redelivery stream.
    ///
    /// The start is resolved to an id once and kept in the topic's hash (`start:<group>:<partition>`). A group that
    /// vanished, alone or with its stream, is made again from there: what was handled before comes again, and nothing
    /// that was not is skipped. It is never made again from `$`, which would.
    ///
    /// - Parameter known: the starts that an earlier call returned: they count when the hash has vanished as well.
    /// - Returns: the start of each partition.
    /// - Throws: `refused` for a group that was forgotten since that earlier call (see `forget`).
    func ensureGroup(
        _ group: GroupName, of topic: Topic, from start: StartPosition, ordering: Ordering? = .any,
        known starts: [StreamID] = []
    ) async throws(FreshetError) -> [StreamID] {
        let topicKey = namespace.topicKey(topic.name)
        try await heedForgotten(group, of: topic, isKnown: !starts.isEmpty)
        let known = try await agreed("partitions", "\(topic.partitions)", in: topicKey)
        guard known == "\(topic.partitions)" else {
            throw FreshetError(
                .refused,
                "the topic '\(topic.name)' has \(known) partitions, and this program says \(topic.partitions)"
            )
        }
        try await agree(on: topic.kind, for: group, topicKey)
        if let ordering { try await agree(on: ordering, of: group, topicKey) }
        var resolved: [StreamID] = []
        for partition in 0..<topic.partitions {
            let keys = keys(topic.name, partition)
            let field = "start:\(group):\(partition)"
            var from = try await send(RedisCommand("HGET", topicKey, field)).streamID
            if from == nil {
                let first =
                    partition < starts.count
                    ? starts[partition] : start.lastSkipped(newest: try await newestID(of: keys.events))
                if starts.isEmpty {
                    let now = try await serverTime()
                    _ = try await send(
                        RedisCommand("HSETNX", topicKey, Self.madeField(group), now.description))
                }
                from = StreamID(try await agreed(field, "\(first)", in: topicKey))
            }
            let position = from ?? .zero
            try await createGroup(group, on: keys.events, after: position)
            try await createGroup(group, on: keys.redelivery(group), after: .zero)
            resolved.append(position)
        }
        return resolved
    }

    /// The value of a field of the topic's hash, which the first program decides. A server can lose it between
    /// the two requests: then it is decided again.
    private func agreed(_ field: String, _ value: String, in key: String) async throws(FreshetError)
        -> String
    {
        for _ in 0..<10 {
            _ = try await send(RedisCommand("HSETNX", key, field, value))
            if let known = try await send(RedisCommand("HGET", key, field)).string { return known }
        }
        throw FreshetError(.busy, "\(key) loses its field '\(field)' again and again")
    }

    /// When a group was made for the first time, by the server's clock; nil when nobody knows.
    func groupMade(_ group: GroupName, of topic: Topic) async throws(FreshetError) -> Timestamp? {
        let text = try await send(
            RedisCommand("HGET", namespace.topicKey(topic.name), Self.madeField(group)))
        return text.string.flatMap { Timestamp($0) }
    }

    static func madeField(_ group: GroupName) -> String { "made:\(group)" }

    /// - Parameter isKnown: whether the group was there before; else it begins anew.
    private func heedForgotten(_ group: GroupName, of topic: Topic, isKnown: Bool) async throws(FreshetError)
    {
        let (key, field) = (namespace.topicKey(topic.name), Self.forgottenField(group))
        guard let time = try await send(RedisCommand("HGET", key, field)).string else { return }
        guard !isKnown else {
            throw FreshetError(
                .refused,
                "the group '\(group)' of '\(topic.name)' was forgotten at \(time), while this consumer ran: started again it makes "
                    + "the group anew, from its start")
        }
        _ = try await send(RedisCommand("HDEL", key, field))
    }

    /// A queue's events are deleted once they are settled: a second group would lose them.
    private func agree(on kind: TopicKind, for group: GroupName, _ topicKey: String)
        async throws(FreshetError)
    {
        let known = try await agreed("kind", kind.rawValue, in: topicKey)
        guard known == kind.rawValue else {
            throw FreshetError(
                .refused, "\(topicKey) is a \(known), and this program says '\(kind.rawValue)'")
        }
        guard kind == .queue else { return }
        let reader = try await agreed("queue", group.rawValue, in: topicKey)
        guard reader == group.rawValue else {
            throw FreshetError(
                .refused,
                "\(topicKey) is a queue of the group '\(reader)': a queue has one group, since its events are deleted once they "
                    + "are settled")
        }
    }

    /// Consumers with an order and consumers without would take each other's events.
    private func agree(on ordering: Ordering, of group: GroupName, _ topicKey: String)
        async throws(FreshetError)
    {
        let field = "order:\(group)"
        let known = try await agreed(field, ordering.rawValue, in: topicKey)
        guard known == ordering.rawValue else {
            throw FreshetError(
                .refused,
                "the group '\(group)' has the ordering '\(known)', and this program says '\(ordering.rawValue)': "
                    + "to change it, stop its consumers and HDEL \(topicKey) \(field)")
        }
    }

    private func newestID(of stream: String) async throws(FreshetError) -> StreamID {
        do {
            return try await client.send(.xinfoStream(stream)).lastGeneratedID
        } catch  where error.message.contains("no such key") {
            return .zero
        } catch { throw FreshetError(error) }
    }

    private func createGroup(_ group: GroupName, on stream: String, after id: StreamID)
        async throws(FreshetError)
    {
        do {
            try await client.send(.xgroupCreate(stream, group.rawValue, after: id))
        } catch  where error.serverCode == .busyGroup {
        } catch { throw FreshetError(error) }
    }
}
