internal import Freshet
internal import Hiredis

/// Adds entries under their own ids, and only behind the entry that was added before them: a server that lost
/// its last seconds would otherwise be left with a gap that nothing can fill, since a stream takes no id that
/// is older than its newest.
enum ExactAppend {
    /// Throws `CheckpointMoved`, having added nothing, when another entry is the last one.
    static func add(
        _ entries: [StreamEntry], to key: String, behind last: StreamID, on client: RedisClient
    ) async throws {
        var (rest, last) = (entries[...], last)
        while let first = rest.first {
            let page = rest.prefix { $0.fields.count <= mostArguments }
            if page.isEmpty {
                // Lua cannot hand on so many arguments: the end of the stream is looked at first.
                let end = try await client.send(.xrevrange(key, count: 1)).first?.id ?? .zero
                guard end == last else { throw CheckpointMoved() }
                var pipeline = RedisPipeline()
                pipeline.appendXADD(first, to: key)
                for reply in try await client.send(pipeline) { try reply.get() }
            } else {
                try await addPage(page, to: key, behind: last, on: client)
            }
            let count = max(1, page.count)
            last = rest[rest.startIndex + count - 1].id
            rest = rest.dropFirst(count)
        }
    }

    private static func addPage(
        _ page: ArraySlice<StreamEntry>, to key: String, behind last: StreamID, on client: RedisClient
    ) async throws {
        let count = page.reduce(1) { $0 + 2 + $1.fields.count }
        let replies = try await script.run(on: client, keys: [key], argumentCount: count) { command in
            last.write(to: &command)
            for entry in page {
                entry.id.write(to: &command)
                command.append(entry.fields.count)
                unsafe entry.fields.forEachField { name, value, _ in
                    unsafe command.append(raw: name)
                    unsafe command.append(raw: value)
                }
            }
        }
        guard replies[0].integer == 1 else { throw CheckpointMoved() }
    }

    /// An entry of more names and values than Lua's `unpack` can take.
    private static let mostArguments = 7000

    /// KEYS stream; ARGV its last entry or 0-0, and for each entry its id, how many arguments follow, these.
    /// Returns 1, or 0 when another entry is the last one: then nothing was done.
    private static let script = RedisScript(
        """
        local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
        if (last and last[1] or '0-0') ~= ARGV[1] then return 0 end
        local i = 2
        while i <= #ARGV do
          local stop = i + 1 + tonumber(ARGV[i + 1])
          redis.call('XADD', KEYS[1], ARGV[i], unpack(ARGV, i + 2, stop))
          i = stop + 1
        end
        return 1
        """)
}
