internal import Hiredis

/// Each ending of a delivery as one atomic step, which first checks that this consumer still holds the entry.
///
/// The first write is always XACK: it is allowed when the server is out of memory, and a script whose first write was
/// allowed runs to its end (measured on Redis 7.0 to 8.6, Valkey 8.1 and 9.1). XACK itself checks no owner, hence XPENDING.
enum Scripts {
    /// Lua: the fields of the entry ARGV[4], without those named in ARGV[first...] and with these at the end, the
    /// original id filled in when there is none yet. An entry of more fields than `unpack` can take is packed into one.
    private static let helpers = """
        local function held()
          local p = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[4], ARGV[4], 1, ARGV[2])
          return #p > 0
        end
        -- What is acknowledged must find its place: nothing is rolled back, so this is looked at before.
        local function check(kind)
          local found = redis.call('TYPE', KEYS[2]).ok
          if found ~= 'none' and found ~= kind then
            return redis.error_reply('WRONGTYPE ' .. KEYS[2] .. ' is a ' .. found .. ' and no ' .. kind)
          end
        end
        local function settle()
          redis.call('XACK', KEYS[1], ARGV[1], ARGV[4])
        end
        local function remove()
          if ARGV[3] == '1' then redis.call('XDEL', KEYS[1], ARGV[4]) end
        end
        local function fields(entry, first)
          local own = {}
          for i = first, #ARGV, 2 do own[ARGV[i]] = true end
          local out, original = {}, false
          for i = 1, #entry, 2 do
            if not own[entry[i]] then
              if entry[i] == 'freshetoriginalid' then original = true end
              out[#out + 1] = entry[i]
              out[#out + 1] = entry[i + 1]
            end
          end
          if #out > 7000 then out = {'freshetpacked', cmsgpack.pack(out)} end
          if not original then
            out[#out + 1] = 'freshetoriginalid'
            out[#out + 1] = ARGV[4]
          end
          for i = first, #ARGV do out[#out + 1] = ARGV[i] end
          return out
        end

        """

    /// KEYS stream; ARGV group consumer delete(0|1) id. Returns 1, or -1 when not held.
    static let acknowledge = RedisScript(
        helpers + """
            if not held() then return -1 end
            settle()
            remove()
            return 1
            """)

    /// KEYS stream target; ARGV group consumer delete id [field value]... Returns 1, -1 when not held, 0 when gone.
    static let move = RedisScript(
        helpers + """
            if not held() then return -1 end
            local entry = redis.call('XRANGE', KEYS[1], ARGV[4], ARGV[4])
            local wrong = check('stream')
            if wrong then return wrong end
            local moved = #entry > 0 and fields(entry[1][2], 5)
            settle()
            if not moved then return 0 end
            redis.call('XADD', KEYS[2], '*', unpack(moved))
            remove()
            return 1
            """)

    /// KEYS stream delayed; ARGV group consumer delete id milliseconds [field value]... Returns as `move`.
    static let schedule = RedisScript(
        helpers + """
            if not held() then return -1 end
            local entry = redis.call('XRANGE', KEYS[1], ARGV[4], ARGV[4])
            local time = redis.call('TIME')
            local due = time[1] * 1000 + math.floor(time[2] / 1000) + tonumber(ARGV[5])
            local wrong = check('zset')
            if wrong then return wrong end
            local member = #entry > 0 and ARGV[4] .. ' ' .. cmsgpack.pack(fields(entry[1][2], 6))
            settle()
            if not member then return 0 end
            redis.call('ZADD', KEYS[2], due, member)
            remove()
            return 1
            """)

    /// KEYS delayed redelivery; ARGV most. Returns how many were due and moved, and the milliseconds until the next one
    /// (-1 when there is none).
    static let promote = RedisScript(
        """
        local time = redis.call('TIME')
        local now = time[1] * 1000 + math.floor(time[2] / 1000)
        local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[1])
        for _, member in ipairs(due) do
          local fields = cmsgpack.unpack(string.sub(member, string.find(member, ' ', 1, true) + 1))
          redis.call('XADD', KEYS[2], '*', unpack(fields))
          redis.call('ZREM', KEYS[1], member)
        end
        local first = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
        if #first == 0 then return {#due, -1} end
        return {#due, math.max(0, tonumber(first[2]) - now)}
        """)

    /// KEYS stream; ARGV group consumer id... Renews the claims that are still held; returns the ids that are not.
    static let renew = RedisScript(
        """
        local lost = {}
        for i = 3, #ARGV do
          local p = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[i], ARGV[i], 1, ARGV[2])
          if #p == 0 then
            lost[#lost + 1] = ARGV[i]
          else
            redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[i], 'JUSTID')
          end
        end
        return lost
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
