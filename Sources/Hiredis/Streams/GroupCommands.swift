// The commands of consumer groups. Those that need the group throw a server error with the code `noGroup` when it is
// not there, or `unblocked` when it went while they waited (Redis 7.0).

extension RedisCommand where Answer == Bool {
    /// XGROUP CREATE: makes a group; true always. Throws `busyGroup` when it is there already.
    ///
    /// - Parameters:
    ///   - position: the group is given what stands behind it; nil is the newest entry there is at that moment. A group that
    ///     is made again at the newest entry skips what nobody has handled.
    ///   - makeStream: whether a stream that is not there is made; otherwise that is an error.
    public static func xgroupCreate(
        _ key: String, _ group: String, after position: StreamID?, makeStream: Bool = true
    ) -> Self {
        done(["CREATE", key, group, position?.description ?? "$"] + (makeStream ? ["MKSTREAM"] : []))
    }

    /// XGROUP SETID: moves the group to a position; true always.
    ///
    /// Readers that wait are not woken, and what is pending is delivered again with its count of deliveries reset: only for
    /// a group that has drained.
    ///
    /// - Parameter entriesRead: how many entries were ever read; without it the server may not know the group's lag.
    public static func xgroupSetID(
        _ key: String, _ group: String, after position: StreamID?, entriesRead: Int? = nil
    ) -> Self {
        done(
            ["SETID", key, group, position?.description ?? "$"]
                + (entriesRead.map { ["ENTRIESREAD", "\($0)"] } ?? []))
    }

    /// XGROUP DESTROY: removes a group and all it holds; whether there was one.
    public static func xgroupDestroy(_ key: String, _ group: String) -> Self {
        done(["DESTROY", key, group])
    }

    /// XGROUP CREATECONSUMER: makes a consumer; whether it was not there. A read makes it as well.
    public static func xgroupCreateConsumer(_ key: String, _ group: String, _ consumer: String) -> Self {
        done(["CREATECONSUMER", key, group, consumer])
    }

    private static func done(_ arguments: [String]) -> Self {
        Self(arguments: ["XGROUP"] + arguments) { reply throws(RedisError) in
            try reply.read("XGROUP") { $0.integer.map { $0 > 0 } ?? ($0.string == "OK" ? true : nil) }
        }
    }
}

extension RedisCommand where Answer == [(key: String, entries: [StreamEntry])] {
    /// XREADGROUP with `>`: entries that the group has not been given yet; from now on this consumer holds them.
    ///
    /// Each entry goes to one consumer, in the order of its stream. Streams with nothing new are left out.
    ///
    /// - Parameters:
    ///   - keys: streams that all have the group. In a cluster all are in one slot.
    ///   - count: the most entries of **each** stream.
    ///   - block: how long to wait for the first new entry, to the millisecond; nil does not wait. A client that waits
    ///     serves nobody else meanwhile: give it a connection of its own (`dedicated`).
    public static func xreadgroup(
        _ group: String, _ consumer: String, _ keys: [String], count: Int, block: Duration? = nil
    ) -> Self {
        reading(["XREADGROUP", "GROUP", group, consumer], keys, keys.map { _ in ">" }, count, block)
    }

    /// XREADGROUP with an id: what this consumer holds already, behind a position of each stream. Every call counts as a
    /// delivery of each entry it gives. Every stream is there, also with no entries; a deleted entry `isDeleted`.
    public static func xreadgroupHeld(
        _ group: String, _ consumer: String, _ streams: [(key: String, after: StreamID)], count: Int
    ) -> Self {
        reading(
            ["XREADGROUP", "GROUP", group, consumer], streams.map(\.key), streams.map(\.after.description),
            count, nil)
    }
}

extension RedisCommand where Answer == Int {
    /// XACK: the group holds these entries no more; answers with how many it held. Who held them is not checked: an entry that
    /// another consumer has taken over is acknowledged as well. 0, not an error, when there is no such key or group.
    ///
    /// - Parameter ids: at least one.
    public static func xack(_ key: String, _ group: String, _ ids: [StreamID]) -> Self {
        var pipeline = RedisPipeline()
        pipeline.reserveCapacity(64 + key.utf8.count + group.utf8.count + 32 * ids.count)
        pipeline.append(argumentCount: 3 + ids.count) { command in
            command.append("XACK")
            command.append(key)
            command.append(group)
            for id in ids { id.write(to: &command) }
        }
        return Self(pipeline) { reply throws(RedisError) in try reply.read("XACK") { $0.integer } }
    }

    /// XGROUP DELCONSUMER: removes a consumer; answers with how many entries it held. **They are lost to the group**: claim
    /// them first.
    public static func xgroupDeleteConsumer(_ key: String, _ group: String, _ consumer: String) -> Self {
        count("XGROUP", ["DELCONSUMER", key, group, consumer])
    }
}

extension RedisCommand where Answer == [StreamEntry] {
    /// XCLAIM: takes these entries over when they have been idle for so long; answers with those that it got. Each counts one
    /// more delivery. The ids of deleted entries are dropped from what the group holds, without a word.
    ///
    /// - Parameters:
    ///   - idle: since the last delivery or claim, to the millisecond. Of two that claim at once with more than zero, one
    ///     gets the entry.
    ///   - ids: at least one.
    public static func xclaim(
        _ key: String, _ group: String, _ consumer: String, idle: Duration, _ ids: [StreamID]
    ) -> Self {
        Self(arguments: ["XCLAIM", key, group, consumer, max(0, idle.inMilliseconds)] + ids) {
            reply throws(RedisError) in try reply.read("XCLAIM", StreamEntry.list)
        }
    }
}

extension RedisCommand where Answer == ClaimedEntries {
    /// XAUTOCLAIM (Redis 6.2): takes over entries of any consumer, oneself included, that have been idle for so long. Each
    /// counts one more delivery.
    ///
    /// One call looks at ten times `count` entries, so that an answer without entries says nothing: go on from its `next`.
    ///
    /// - Parameters:
    ///   - idle: since the last delivery or claim, to the millisecond.
    ///   - start: `next` of the answer before; zero is the beginning.
    ///   - count: the most entries, from 1.
    public static func xautoclaim(
        _ key: String, _ group: String, _ consumer: String, idle: Duration, from start: StreamID = .zero,
        count: Int
    ) -> Self {
        let who: [any RedisArgument] = ["XAUTOCLAIM", key, group, consumer]
        return Self(arguments: who + [max(0, idle.inMilliseconds), start, "COUNT", max(1, count)]) {
            reply throws(RedisError) in try reply.read("XAUTOCLAIM", ClaimedEntries.init)
        }
    }
}

extension RedisCommand where Answer == PendingSummary {
    /// XPENDING: how much the group holds, and who. Cheap however much it is.
    public static func xpending(_ key: String, _ group: String) -> Self {
        Self(arguments: ["XPENDING", key, group]) { reply throws(RedisError) in
            try reply.read("XPENDING", PendingSummary.init)
        }
    }
}

extension RedisCommand where Answer == [PendingEntry] {
    /// XPENDING with a range: what the group, or one consumer of it, holds, in the order of the stream.
    ///
    /// - Parameter count: the most entries.
    public static func xpending(
        _ key: String, _ group: String, _ range: ClosedRange<StreamID>, count: Int, of consumer: String? = nil
    ) -> Self {
        let what: [any RedisArgument] = ["XPENDING", key, group, range.lowerBound, range.upperBound, count]
        return Self(arguments: what + (consumer.map { [$0] } ?? [])) { reply throws(RedisError) in
            try reply.read("XPENDING") { $0.list { PendingEntry($0) } }
        }
    }
}

extension RedisCommand where Answer == [GroupInfo] {
    /// XINFO GROUPS: the groups of a stream. Throws a server error when there is no such key.
    public static func xinfoGroups(_ key: String) -> Self {
        Self(arguments: ["XINFO", "GROUPS", key]) { reply throws(RedisError) in
            try reply.read("XINFO GROUPS") { $0.list { GroupInfo($0) } }
        }
    }
}

extension RedisCommand where Answer == [ConsumerInfo] {
    /// XINFO CONSUMERS: the consumers of a group.
    public static func xinfoConsumers(_ key: String, _ group: String) -> Self {
        Self(arguments: ["XINFO", "CONSUMERS", key, group]) { reply throws(RedisError) in
            try reply.read("XINFO CONSUMERS") { $0.list { ConsumerInfo($0) } }
        }
    }
}
