internal import Hiredis

/// What must be one atomic step on the server.
///
/// Where something is settled the first write is always XACK: it is allowed when the server is out of memory, and a script
/// whose first write was allowed runs to its end (measured on Redis 7.0 to 8.6, Valkey 8.1 and 9.1). XACK itself checks no
/// owner, hence XPENDING, or the partition's lease.
enum Scripts {
    /// The endings of a batch of deliveries, each only when this consumer still holds the entry.
    ///
    /// KEYS stream delayed dead invalid redelivery lease; ARGV group consumer delete(0|1) epoch('' without an order), and
    /// for each entry, in the order of the stream: id, ending, pause in milliseconds, how many arguments follow, these.
    /// Returns for each entry 1, 0 when it is gone from the stream, -1 when another consumer holds it, -2
    /// when nobody holds it, -3 when nobody does and it is gone from the stream.
    ///
    /// An entry of more fields than `unpack` can take is packed into one.
    static let settle = RedisScript(
        """
        local stream, group, me = KEYS[1], ARGV[1], ARGV[2]
        local endings, i = {}, 5
        while i <= #ARGV do
          local count = tonumber(ARGV[i + 3])
          endings[#endings + 1] = {id = ARGV[i], kind = ARGV[i + 1], pause = tonumber(ARGV[i + 2]), first = i + 4, last = i + 3 + count}
          i = i + 4 + count
        end
        local result = {}
        local held = nil
        if ARGV[4] ~= '' then
          local lease = redis.call('HMGET', KEYS[6], 'owner', 'epoch')
          if lease[1] ~= me or lease[2] ~= ARGV[4] then
            for n = 1, #endings do result[n] = -1 end
            return result
          end
        else
          held = {}
          local from = endings[1].id
          repeat
            local page = redis.call('XPENDING', stream, group, from, endings[#endings].id, 1000, me)
            for _, entry in ipairs(page) do held[entry[1]] = true end
            if #page > 0 then from = '(' .. page[#page][1] end
          until #page < 1000
        end
        -- What is acknowledged must find its place: nothing is rolled back, so this is looked at before.
        local targets = {s = {2, 'zset'}, d = {3, 'stream'}, i = {4, 'stream'}, r = {5, 'stream'}}
        local checked = {}
        for _, ending in ipairs(endings) do
          local target = targets[ending.kind]
          if target and not checked[ending.kind] then
            checked[ending.kind] = true
            local found = redis.call('TYPE', KEYS[target[1]]).ok
            if found ~= 'none' and found ~= target[2] then
              return redis.error_reply('WRONGTYPE ' .. KEYS[target[1]] .. ' is a ' .. found .. ' and no ' .. target[2])
            end
          end
        end
        local done = {}
        for n, ending in ipairs(endings) do
          local mine = not held or held[ending.id]
          if mine and redis.call('XACK', stream, group, ending.id) == 1 then
            result[n] = 1
            done[#done + 1] = ending.id
          elseif not mine and #redis.call('XPENDING', stream, group, ending.id, ending.id, 1) == 1 then
            result[n] = -1
          else
            result[n] = #redis.call('XRANGE', stream, ending.id, ending.id) == 1 and -2 or -3
          end
        end
        local function fields(entry, ending)
          local own, out, original = {}, {}, false
          for k = ending.first, ending.last, 2 do own[ARGV[k]] = true end
          -- On the log delivery's own names are a publisher's: they are kept only where every byte is.
          local isForged = function(name) return stream ~= KEYS[5] and string.sub(name, 1, 7) == 'freshet' end
          for k = 1, #entry, 2 do
            if not own[entry[k]] and not (ending.kind ~= 'i' and isForged(entry[k])) then
              if entry[k] == 'freshetoriginalid' and not isForged(entry[k]) then original = true end
              out[#out + 1] = entry[k]
              out[#out + 1] = entry[k + 1]
            end
          end
          if #out > 7000 then out = {'freshetpacked', cmsgpack.pack(out)} end
          if not original then
            out[#out + 1] = 'freshetoriginalid'
            out[#out + 1] = ending.id
          end
          for k = ending.first, ending.last do out[#out + 1] = ARGV[k] end
          return out
        end
        local now = nil
        for n, ending in ipairs(endings) do
          if result[n] == 1 and ending.kind ~= 'a' then
            local entry = redis.call('XRANGE', stream, ending.id, ending.id)[1]
            if not entry then
              result[n] = 0
            elseif ending.kind == 's' then
              if not now then
                local time = redis.call('TIME')
                now = time[1] * 1000 + math.floor(time[2] / 1000)
              end
              redis.call('ZADD', KEYS[2], now + ending.pause, ending.id .. ' ' .. cmsgpack.pack(fields(entry[2], ending)))
            else
              redis.call('XADD', KEYS[targets[ending.kind][1]], '*', unpack(fields(entry[2], ending)))
            end
          end
        end
        if ARGV[3] == '1' and #done > 0 then redis.call('XDEL', stream, unpack(done)) end
        return result
        """)

    /// How a settlement ended.
    enum Settled {
        /// By this request.
        case here
        /// By an earlier request, whose reply was lost.
        case before
        /// Not at all: the entry was deleted.
        case gone
        /// By another consumer, or it will be.
        case elsewhere

        /// - Parameters:
        ///   - result: the script's.
        ///   - isRepeated: an earlier request may have had its effect.
        ///   - deletes: what is settled is deleted.
        init(_ result: Int, isRepeated: Bool, deletes: Bool) {
            switch result {
            case 1: self = .here
            case 0: self = .gone
            case -2 where isRepeated: self = .before
            case -3 where isRepeated && deletes: self = .before
            case -3 where !deletes: self = .gone
            default: self = .elsewhere
            }
        }
    }

    /// Moves retries whose time has come to the redelivery stream, and scheduled events to the log.
    ///
    /// KEYS from to, in pairs; ARGV most (of each). Returns how many were moved, and the
    /// milliseconds until the next one (-1 when there is none).
    static let promote = RedisScript(
        """
        local moved, soonest, now = 0, -1, nil
        for k = 1, #KEYS, 2 do
          local first = redis.call('ZRANGE', KEYS[k], 0, 0, 'WITHSCORES')
          if #first > 0 then
            if not now then
              local time = redis.call('TIME')
              now = time[1] * 1000 + math.floor(time[2] / 1000)
            end
            if tonumber(first[2]) <= now then
              for _, member in ipairs(redis.call('ZRANGEBYSCORE', KEYS[k], '-inf', now, 'LIMIT', 0, ARGV[1])) do
                local fields = cmsgpack.unpack(string.sub(member, string.find(member, ' ', 1, true) + 1))
                redis.call('XADD', KEYS[k + 1], '*', unpack(fields))
                redis.call('ZREM', KEYS[k], member)
                moved = moved + 1
              end
              first = redis.call('ZRANGE', KEYS[k], 0, 0, 'WITHSCORES')
            end
            if #first > 0 then
              local left = math.max(0, tonumber(first[2]) - now)
              if soonest < 0 or left < soonest then soonest = left end
            end
          end
        end
        return {moved, soonest}
        """)

    /// Renews the claims on what is still held.
    ///
    /// KEYS stream; ARGV group consumer id..., in the order of the stream. Returns the ids that are not held any more.
    static let renew = RedisScript(
        """
        local held, lost, mine, from = {}, {}, {}, ARGV[3]
        repeat
          local page = redis.call('XPENDING', KEYS[1], ARGV[1], from, ARGV[#ARGV], 1000, ARGV[2])
          for _, entry in ipairs(page) do held[entry[1]] = true end
          if #page > 0 then from = '(' .. page[#page][1] end
        until #page < 1000
        for i = 3, #ARGV do
          if held[ARGV[i]] then mine[#mine + 1] = ARGV[i] else lost[#lost + 1] = ARGV[i] end
        end
        if #mine > 0 then
          mine[#mine + 1] = 'JUSTID'
          redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, unpack(mine))
        end
        return lost
        """)

    /// Says how often entries were delivered, those that are still held; it counts as a renewal.
    ///
    /// KEYS stream; ARGV group consumer, and for each entry id, count. Returns how many are held.
    static let count = RedisScript(
        """
        local held = 0
        for i = 3, #ARGV, 2 do
          if #redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[i], ARGV[i], 1, ARGV[2]) == 1 then
            redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[i], 'RETRYCOUNT', ARGV[i + 1], 'JUSTID')
            held = held + 1
          end
        end
        return held
        """)

    /// KEYS stream...; ARGV group. Returns how much of each is pending.
    static let pending = RedisScript(
        """
        local counts = {}
        for k = 1, #KEYS do
          local reply = redis.pcall('XPENDING', KEYS[k], ARGV[1])
          counts[k] = reply.err and 0 or reply[1]
        end
        return counts
        """)

    /// KEYS stream; ARGV group consumer. Removes the consumer's name when it holds nothing; removing it otherwise
    /// would drop what it holds. Returns how many entries it holds.
    static let leave = RedisScript(
        """
        local p = redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1, ARGV[2])
        if #p == 0 then redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2]) end
        return #p
        """)
}
