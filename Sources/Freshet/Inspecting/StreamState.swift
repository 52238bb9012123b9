internal import Hiredis

/// What the server knows about a group on one stream.
struct GroupState: Sendable {
    let lastDelivered: StreamID
    let pending: Int
    let consumers: Int
}

extension Broker {
    /// The groups of a stream by name; none when the stream does not exist.
    func groupStates(of stream: String) async throws(FreshetError) -> [String: GroupState] {
        let reply: RedisReply
        do {
            reply = try await client.send(RedisCommand("XINFO", "GROUPS", stream))
        } catch  where error.message.contains("no such key") {
            return [:]
        } catch { throw FreshetError(error) }
        var states: [String: GroupState] = [:]
        for group in reply.array.map(Array.init) ?? [] {
            guard let name = group.value(of: "name")?.string else { continue }
            states[name] = GroupState(
                lastDelivered: group.value(of: "last-delivered-id")?.string.flatMap { StreamID($0) } ?? .zero,
                pending: group.value(of: "pending")?.integer ?? 0,
                consumers: group.value(of: "consumers")?.integer ?? 0)
        }
        return states
    }

    func consumers(of group: GroupName, on stream: String) async throws(FreshetError) -> [GroupReport
        .Consumer]
    {
        let reply = try await send(RedisCommand("XINFO", "CONSUMERS", stream, group.rawValue))
        return (reply.array.map(Array.init) ?? []).map { consumer in
            GroupReport.Consumer(
                name: consumer.value(of: "name")?.string ?? "",
                pending: consumer.value(of: "pending")?.integer ?? 0,
                idleSeconds: Double(consumer.value(of: "idle")?.integer ?? 0) / 1000)
        }
    }

    func firstPending(_ stream: String, _ group: GroupName) async throws(FreshetError) -> StreamID? {
        let summary = try await send(RedisCommand("XPENDING", stream, group.rawValue)).array
        guard let summary, summary.count > 1 else { return nil }
        return summary[1].string.flatMap { StreamID($0) }
    }

    func length(_ stream: String) async throws(FreshetError) -> Int {
        try await send(RedisCommand("XLEN", stream)).integer ?? 0
    }

    /// How many entries stand behind this position, which one is the first, and whether all were counted. The server
    /// counts, a thousand a call, so that neither it nor the network is held up.
    func count(_ stream: String, after position: StreamID, most: Int = 1_000_000) async throws(FreshetError)
        -> (count: Int, first: StreamID?, isWhole: Bool)
    {
        var (count, first, after) = (0, StreamID?.none, position)
        while count < most {
            let reply = try await run(Self.counting, keys: [stream], "(\(after)").array
            guard let reply, reply.count == 3, let page = reply[0].integer, page > 0 else {
                return (count, first, true)
            }
            count += page
            first = first ?? reply[1].string.flatMap { StreamID($0) }
            guard let last = reply[2].string.flatMap({ StreamID($0) }), page == 1000 else {
                return (count, first, true)
            }
            after = last
        }
        return (count, first, false)
    }

    /// KEYS stream; ARGV start. Returns how many entries of the next thousand there are, the first and the last of them.
    private static let counting = RedisScript(
        """
        local page = redis.call('XRANGE', KEYS[1], ARGV[1], '+', 'COUNT', 1000)
        if #page == 0 then return {0} end
        return {#page, page[1][1], page[#page][1]}
        """)

    func scan(_ pattern: String) async throws(FreshetError) -> [String] {
        var (keys, cursor) = (Set<String>(), "0")
        repeat {
            let reply = try await send(RedisCommand("SCAN", cursor, "MATCH", pattern, "COUNT", 1000)).array
            guard let reply, reply.count == 2 else { break }
            cursor = reply[0].string ?? "0"
            keys.formUnion(reply[1].array?.compactMap(\.string) ?? [])
        } while cursor != "0"
        return keys.sorted()
    }

    /// What stands in the braces of a key.
    static func tag(of key: String) -> Substring? {
        guard let open = key.firstIndex(of: "{"), let close = key[open...].firstIndex(of: "}") else {
            return nil
        }
        return key[key.index(after: open)..<close]
    }
}
