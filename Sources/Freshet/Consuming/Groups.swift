internal import Hiredis

extension Broker {
    /// Sees to it that the group exists on every partition's log and redelivery stream.
    ///
    /// The start is resolved to an id once and kept in the topic's hash (`start:<group>:<partition>`). A group that
    /// vanished, alone or with its stream, is made again from there: what was handled before comes again, and nothing
    /// that was not is skipped. It is never made again from `$`, which would.
    func ensureGroup(_ group: GroupName, of topic: Topic, from start: StartPosition)
        async throws(FreshetError)
    {
        let topicKey = namespace.topicKey(topic.name)
        _ = try await send(RedisCommand("HSETNX", topicKey, "partitions", topic.partitions))
        let known = try await send(RedisCommand("HGET", topicKey, "partitions")).integer
        guard known == topic.partitions else {
            throw FreshetError(
                .refused,
                "the topic '\(topic.name)' has \(known ?? 0) partitions, and this program says \(topic.partitions)"
            )
        }
        for partition in 0..<topic.partitions {
            let keys = keys(topic.name, partition)
            let field = "start:\(group):\(partition)"
            if try await send(RedisCommand("HGET", topicKey, field)).isNull {
                let newest = try await newestID(of: keys.events)
                let resolved = start.lastSkipped(newest: newest).description
                _ = try await send(RedisCommand("HSETNX", topicKey, field, resolved))
            }
            let from =
                try await send(RedisCommand("HGET", topicKey, field)).string ?? StreamID.zero.description
            try await createGroup(group, on: keys.events, after: from)
            try await createGroup(group, on: keys.redelivery(group), after: StreamID.zero.description)
        }
    }

    private func newestID(of stream: String) async throws(FreshetError) -> StreamID {
        do {
            let information = try await client.send(RedisCommand("XINFO", "STREAM", stream))
            return information.value(of: "last-generated-id")?.string.flatMap { StreamID($0) } ?? .zero
        } catch  where error.message.contains("no such key") {
            return .zero
        } catch { throw FreshetError(error) }
    }

    private func createGroup(_ group: GroupName, on stream: String, after id: String)
        async throws(FreshetError)
    {
        do {
            try await client.send(RedisCommand("XGROUP", "CREATE", stream, group.rawValue, id, "MKSTREAM"))
        } catch  where error.serverCode == "BUSYGROUP" {
        } catch { throw FreshetError(error) }
    }
}

extension RedisReply {
    /// The value behind this name in a reply of names and values in turn.
    func value(of name: StaticString) -> RedisReply? {
        guard let array else { return nil }
        var iterator = array.makeIterator()
        while let key = iterator.next(), let value = iterator.next() {
            if let bytes = key.bytes, bytes == name { return value }
        }
        return nil
    }
}
