internal import Freshet
internal import Hiredis

extension Broker {
    /// Where the groups of a partition stand, each looked at in one step: what is on its way from one state to the next is
    /// seen in one of them.
    ///
    /// - Parameter declared: the topic's hash.
    func groupPositions(of topic: Topic, partition: Int, declared: [String: String])
        async throws(FreshetError) -> [ArchivedTopic.Group]
    {
        var positions: [ArchivedTopic.Group] = []
        for group in try await groups(of: topic) {
            let keys = keys(topic.name, partition)
            let start = declared["start:\(group):\(partition)"] ?? "0-0"
            let reply: RedisReply
            do {
                reply = try await GroupPositionScripts.look.run(
                    on: client, keys: [keys.events, keys.redelivery(group), keys.delayed(group)],
                    arguments: [group.rawValue, start, Self.mostLookedAt])
            } catch { throw FreshetError(error) }
            guard let parts = reply.array.map(Array.init), parts.count == 4,
                let delivered = parts[0].streamID, let isMade = parts[3].integer
            else { throw FreshetError(RedisError(.unexpectedReply, "a position of another shape")) }
            let read = parts[2].integer ?? -1
            positions.append(
                ArchivedTopic.Group(
                    group, delivered: delivered, oldestUnsettled: parts[1].streamID,
                    entriesRead: read < 0 ? nil : read, isMade: isMade == 1))
        }
        return positions
    }

    /// A group that has more to see again than this counts from its start: the server serves nobody else meanwhile.
    private static let mostLookedAt = 20_000
}

private enum GroupPositionScripts {
    /// KEYS log redelivery delayed; ARGV group start most. Returns {delivered, oldest unsettled or '', entries read or -1,
    /// 1 when the group is there}. Ids are compared as texts: their parts have more digits than Lua's numbers.
    static let look = RedisScript(
        """
        local function less(a, b)
          if #a ~= #b then return #a < #b end
          return a < b
        end
        local function before(a, b)
          local am, as = string.match(a, '^(%d+)-(%d+)$')
          local bm, bs = string.match(b, '^(%d+)-(%d+)$')
          if am ~= bm then return less(am, bm) end
          return less(as, bs)
        end
        local delivered, read, made, oldest = ARGV[2], -1, 0, ''
        local function note(id)
          if id and string.match(id, '^%d+-%d+$') and (oldest == '' or before(id, oldest)) then oldest = id end
        end
        if redis.call('EXISTS', KEYS[1]) == 1 then
          for _, list in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
            local group = {}
            for i = 1, #list, 2 do group[list[i]] = list[i + 1] end
            if group.name == ARGV[1] then
              delivered, made = group['last-delivered-id'], 1
              read = group['entries-read'] or -1
              if group.pending > 0 then note(redis.call('XPENDING', KEYS[1], ARGV[1])[2]) end
            end
          end
        end
        local function original(fields)
          local found
          for i = 1, #fields, 2 do
            if fields[i] == 'freshetoriginalid' then found = fields[i + 1] end
          end
          return found
        end
        if redis.call('XLEN', KEYS[2]) + redis.call('ZCARD', KEYS[3]) > tonumber(ARGV[3]) then
          note(ARGV[2])
          return {delivered, oldest, read, made}
        end
        local from = '-'
        repeat
          local page = redis.call('XRANGE', KEYS[2], from, '+', 'COUNT', 100)
          for _, entry in ipairs(page) do note(original(entry[2])) end
          if #page > 0 then from = '(' .. page[#page][1] end
        until #page < 100
        for rank = 0, redis.call('ZCARD', KEYS[3]) - 1, 100 do
          for _, member in ipairs(redis.call('ZRANGE', KEYS[3], rank, rank + 99)) do
            note(original(cmsgpack.unpack(string.sub(member, string.find(member, ' ', 1, true) + 1))))
          end
        end
        return {delivered, oldest, read, made}
        """)
}
