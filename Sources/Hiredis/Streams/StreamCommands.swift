// The commands on a stream itself: what they promise is the server's (redis.io/commands), the traps named here were
// seen on Redis 7.0 to 8.6 and Valkey 8 and 9. Each throws the server's error (`WRONGTYPE` when the key is no stream),
// and what `RedisClient.send` throws.

extension RedisCommand where Answer == StreamID {
    /// XADD: appends an entry; answers with its id.
    ///
    /// After an error with `mayHaveRun` the entry may be there: adding it again may add it twice.
    ///
    /// - Parameters:
    ///   - id: greater than every id that the stream ever gave out; nil is the server's choice. After the greatest id of all
    ///     nothing can be added any more.
    ///   - trim: what to cut off in the same step.
    ///   - fields: at least one name and value, text or bytes. They are kept in this order, a name may stand there twice.
    public static func xadd(
        _ key: String, id: StreamID? = nil, trim: StreamTrim? = nil,
        _ fields: KeyValuePairs<String, any RedisArgument>
    ) -> Self {
        let head = ["XADD", key] as [any RedisArgument] + (trim?.arguments ?? []) + [id?.description ?? "*"]
        return Self(arguments: head + fields.flatMap { [$0.key, $0.value] as [any RedisArgument] }) {
            reply throws(RedisError) in try reply.read("XADD") { $0.streamID }
        }
    }
}

extension RedisPipeline {
    /// Appends XADD with the server's choice of an id, whose reply is a `streamID`; the names and values are written
    /// straight into the pipeline.
    ///
    /// - Parameter argumentCount: how many names and values `write` appends, an even number from 2.
    public mutating func appendXADD(
        _ key: String, argumentCount: Int, _ write: (inout CommandWriter) -> Void
    ) {
        append(argumentCount: 3 + argumentCount) { command in
            command.append("XADD" as StaticString)
            command.append(key)
            command.append("*" as StaticString)
            write(&command)
        }
    }

    /// Appends XADD of an entry as it is, under its own id; its bytes are copied straight into the pipeline.
    package mutating func appendXADD(_ entry: StreamEntry, to key: String) {
        append(argumentCount: 3 + entry.fields.count) { command in
            command.append("XADD" as StaticString)
            command.append(key)
            entry.id.write(to: &command)
            unsafe entry.fields.forEachField { name, value, _ in
                unsafe command.append(raw: name)
                unsafe command.append(raw: value)
            }
        }
    }
}

extension RedisCommand where Answer == [StreamEntry] {
    /// XRANGE: entries within the range, oldest first; none when there is no such key.
    ///
    /// - Parameter count: the most entries, from 1; nil is all of them, in one reply.
    public static func xrange(
        _ key: String, _ range: ClosedRange<StreamID> = .zero ... .newest, count: Int? = nil
    ) -> Self {
        entries(["XRANGE", key, range.lowerBound, range.upperBound], count)
    }

    /// XREVRANGE: entries within the range, newest first; none when there is no such key.
    ///
    /// - Parameter count: the most entries, from 1; nil is all of them, in one reply.
    public static func xrevrange(
        _ key: String, _ range: ClosedRange<StreamID> = .zero ... .newest, count: Int? = nil
    ) -> Self {
        entries(["XREVRANGE", key, range.upperBound, range.lowerBound], count)
    }

    private static func entries(_ arguments: [any RedisArgument], _ count: Int?) -> Self {
        // A count of 0 is answered with nil and not with nothing.
        Self(arguments: arguments + (count.map { ["COUNT", max(1, $0)] } ?? [])) {
            reply throws(RedisError) in try reply.read("XRANGE", StreamEntry.list)
        }
    }
}

extension RedisCommand where Answer == [(key: String, entries: [StreamEntry])] {
    /// XREAD: what stands behind a position in each of some streams; streams with nothing new are left out.
    ///
    /// - Parameters:
    ///   - streams: keys, each with the last id that was seen. In a cluster all are in one slot.
    ///   - count: the most entries of **each** stream.
    ///   - block: how long to wait for the first new entry, to the millisecond; nil does not wait. A client that waits
    ///     serves nobody else meanwhile: give it a connection of its own (`dedicated`).
    public static func xread(
        _ streams: [(key: String, after: StreamID)], count: Int, block: Duration? = nil
    ) -> Self {
        reading(["XREAD"], streams.map(\.key), streams.map(\.after.description), count, block)
    }

    /// `BLOCK 0` would wait for ever, without a time-out of ours: the shortest wait is a millisecond.
    static func reading(
        _ head: [any RedisArgument], _ keys: [String], _ positions: [String], _ count: Int, _ block: Duration?
    ) -> Self {
        var arguments = head + ["COUNT", max(1, count)]
        if let block { arguments += ["BLOCK", max(1, block.inMilliseconds)] as [any RedisArgument] }
        return Self(arguments: arguments + ["STREAMS"] + keys + positions, block: block ?? .zero) {
            reply throws(RedisError) in try reply.read("XREAD", StreamEntry.listByStream)
        }
    }
}

extension RedisCommand where Answer == Int {
    /// XLEN: how many entries there are; 0 when there is no such key.
    public static func xlen(_ key: String) -> Self { count("XLEN", [key]) }

    /// XDEL: deletes entries; answers with how many there were. Groups that hold them go on holding their ids.
    ///
    /// - Parameter ids: at least one.
    public static func xdel(_ key: String, _ ids: [StreamID]) -> Self { count("XDEL", [key] + ids) }

    /// XTRIM: cuts off the oldest entries, whether groups have seen them or not; answers with how many there were.
    public static func xtrim(_ key: String, _ trim: StreamTrim) -> Self {
        count("XTRIM", [key] + trim.arguments)
    }

    static func count(_ name: StaticString, _ arguments: [any RedisArgument]) -> Self {
        Self(arguments: [name.description] + arguments) { reply throws(RedisError) in
            try reply.read(name) { $0.integer }
        }
    }
}

extension RedisCommand where Answer == StreamInfo {
    /// XINFO STREAM: what a stream says of itself. Throws a server error when there is no such key.
    public static func xinfoStream(_ key: String) -> Self {
        Self(arguments: ["XINFO", "STREAM", key]) { reply throws(RedisError) in
            try reply.read("XINFO STREAM", StreamInfo.init)
        }
    }
}

/// What of a stream is to be cut off: its oldest entries.
public struct StreamTrim: Sendable, Hashable {
    let arguments: [String]

    /// All but the newest so many.
    public static func keeping(_ count: Int) -> StreamTrim {
        StreamTrim(arguments: ["MAXLEN", "=", "\(count)"])
    }

    /// What stands before this id.
    public static func before(_ id: StreamID) -> StreamTrim {
        StreamTrim(arguments: ["MINID", "=", "\(id)"])
    }

    /// The same in whole nodes of the stream (100 entries by default), which is much cheaper and leaves up to a node more.
    ///
    /// - Parameter limit: the most entries that are cut off by one command; nil is the server's, 10,000 by default, 0 is
    ///   none.
    public func approximately(limit: Int? = nil) -> StreamTrim {
        var arguments = [arguments[0], "~", arguments[2]]
        if let limit { arguments += ["LIMIT", "\(limit)"] }
        return StreamTrim(arguments: arguments)
    }
}
