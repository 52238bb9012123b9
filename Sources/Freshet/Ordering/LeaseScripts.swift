internal import Hiredis

/// Who owns a partition for a group: a hash with the owner and its epoch that expires unless it is kept up.
///
/// The scripts that take, keep and give back begin with a write that is allowed when the server is out of memory.
enum LeaseScripts {
    /// Takes a partition that is free, or one's own.
    ///
    /// KEYS lease epochs; ARGV consumer milliseconds group. Returns {epoch, 1 when the last owner gave it
    /// back}, or {-1, owner} when it is another's. An epoch is the server's time, and higher than the one
    /// before it also when that clock was set back: `epochs` keeps the last one of each group when the lease
    /// has expired.
    static let take = RedisScript(
        """
        local lease = redis.call('HMGET', KEYS[1], 'owner', 'epoch')
        if lease[1] and lease[1] ~= '' and lease[1] ~= ARGV[1] then return {-1, lease[1]} end
        local last = redis.call('HMGET', KEYS[2], ARGV[3])[1]
        local time = redis.call('TIME')
        local epoch = math.max((tonumber(lease[2]) or 0) + 1, (tonumber(last) or 0) + 1,
          time[1] * 1000 + math.floor(time[2] / 1000))
        local text = string.format('%.0f', epoch)
        redis.call('PERSIST', KEYS[1])
        redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'epoch', text)
        redis.call('HSET', KEYS[2], ARGV[3], text)
        redis.call('PEXPIRE', KEYS[1], ARGV[2])
        return {text, lease[1] == '' and 1 or 0}
        """)

    /// KEYS lease...; ARGV consumer milliseconds epoch... Returns for each 1, or 0 when it is lost.
    static let keep = RedisScript(
        """
        local kept = {}
        for k = 1, #KEYS do
          local lease = redis.call('HMGET', KEYS[k], 'owner', 'epoch')
          if lease[1] == ARGV[1] and lease[2] == ARGV[k + 2] then
            kept[k] = redis.call('PEXPIRE', KEYS[k], ARGV[2])
          else
            kept[k] = 0
          end
        end
        return kept
        """)

    /// KEYS lease; ARGV consumer epoch. Gives the partition back: anyone may take it. It is known for an hour that this was
    /// in good order. Returns 1, or 0 when it was not ours.
    static let free = RedisScript(
        """
        local lease = redis.call('HMGET', KEYS[1], 'owner', 'epoch')
        if lease[1] ~= ARGV[1] or lease[2] ~= ARGV[2] then return 0 end
        redis.call('PEXPIRE', KEYS[1], 3600000)
        redis.call('HSET', KEYS[1], 'owner', '')
        return 1
        """)

    /// KEYS members; ARGV consumer milliseconds owned. Says that this consumer lives, and what it owns, behind a '-' when it is
    /// leaving; returns {name, owned, ...} of all that live.
    static let meet = RedisScript(
        """
        local time = redis.call('TIME')
        local now = time[1] * 1000 + math.floor(time[2] / 1000)
        if redis.call('HSET', KEYS[1], ARGV[1], string.format('%.0f', now + ARGV[2]) .. ' ' .. ARGV[3]) == 1 then
          redis.call('PEXPIRE', KEYS[1], 604800000)
        end
        local all, live = redis.call('HGETALL', KEYS[1]), {}
        for i = 1, #all, 2 do
          local due, owned = string.match(all[i + 1], '^(%d+) (.*)$')
          if due and tonumber(due) > now then
            live[#live + 1] = all[i]
            live[#live + 1] = owned
          else
            redis.call('HDEL', KEYS[1], all[i])
          end
        end
        return live
        """)

    /// KEYS changes; ARGV consumer. Says that partitions are to change hands.
    static let tell = RedisScript(
        """
        redis.call('XADD', KEYS[1], 'MAXLEN', 16, '*', 'consumer', ARGV[1])
        return redis.call('PEXPIRE', KEYS[1], 3600000)
        """)

    /// The keys that wait for a retry, as {key, position in the log, '', ...}.
    ///
    /// KEYS delayed; ARGV rank count: so many of the sorted set from this rank on, from the last one; {what was found, how
    /// many were looked at}.
    static let delayedKeys = RedisScript(
        """
        local found, members = {}, redis.call('ZREVRANGE', KEYS[1], ARGV[1], ARGV[1] + ARGV[2] - 1)
        for _, member in ipairs(members) do
          local fields = cmsgpack.unpack(string.sub(member, string.find(member, ' ', 1, true) + 1))
          local key, position
          for i = 1, #fields, 2 do
            if fields[i] == 'partitionkey' then key = fields[i + 1] end
            if fields[i] == 'freshetoriginalid' then position = fields[i + 1] end
          end
          if key and position then
            found[#found + 1] = key
            found[#found + 1] = position
            found[#found + 1] = ''
          end
        end
        return {found, #members}
        """)

    /// As `delayedKeys`, of the retries in a redelivery stream, with the id of each. KEYS redelivery; ARGV
    /// after count; {what was found, the last id that was looked at, or '' at the end}.
    static let dueKeys = RedisScript(
        """
        local found, last = {}, ''
        local entries = redis.call('XRANGE', KEYS[1], '(' .. ARGV[1], '+', 'COUNT', ARGV[2])
        for _, entry in ipairs(entries) do
          local fields, key, position, failed = entry[2], nil, nil, false
          for i = 1, #fields, 2 do
            if fields[i] == 'partitionkey' then key = fields[i + 1] end
            if fields[i] == 'freshetoriginalid' then position = fields[i + 1] end
            if fields[i] == 'freshetattempt' then failed = true end
          end
          if key and position and failed then
            found[#found + 1] = key
            found[#found + 1] = position
            found[#found + 1] = entry[1]
          end
        end
        if #entries == tonumber(ARGV[2]) then last = entries[#entries][1] end
        return {found, last}
        """)

    /// What a consumer holds of a stream, with the key of each entry: 'k' and the key, or '' when it has none
    /// or is gone.
    ///
    /// KEYS stream; ARGV group consumer from to count. Returns {{id, key, ...}, the last id or '' at the
    /// end}.
    static let pendingKeys = RedisScript(
        """
        local found, last = {}, ''
        local page = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[3], ARGV[4], ARGV[5], ARGV[2])
        for _, pending in ipairs(page) do
          local entry, key = redis.call('XRANGE', KEYS[1], pending[1], pending[1])[1], ''
          if entry then
            local fields = entry[2]
            for i = 1, #fields, 2 do
              if fields[i] == 'partitionkey' then key = 'k' .. fields[i + 1] end
            end
          end
          found[#found + 1] = pending[1]
          found[#found + 1] = key
        end
        if #page == tonumber(ARGV[5]) then last = page[#page][1] end
        return {found, last}
        """)

    /// Takes what consumers hold, or one of them, behind a position, in the order of the stream.
    ///
    /// KEYS stream lease; ARGV group consumer epoch position count counted(0|1) [holder]. Returns {entries, how often each was
    /// delivered, ids that are gone, the last id or '' at the end, how many were this consumer's already}, or
    /// nothing when the partition is not ours any more. With `counted` each counts one more delivery: it was
    /// not handed over in good order.
    static let takeUp = RedisScript(
        """
        local lease = redis.call('HMGET', KEYS[2], 'owner', 'epoch')
        if lease[1] ~= ARGV[2] or lease[2] ~= ARGV[3] then return {} end
        local entries, counts, gone, last, own = {}, {}, {}, '', 0
        local page = redis.call('XPENDING', KEYS[1], ARGV[1], '(' .. ARGV[4], '+', ARGV[5], unpack(ARGV, 7))
        for _, pending in ipairs(page) do
          local entry = redis.call('XRANGE', KEYS[1], pending[1], pending[1])[1]
          if entry then
            local count = pending[4] + ARGV[6]
            if pending[2] ~= ARGV[2] or ARGV[6] == '1' then
              redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, pending[1], 'RETRYCOUNT', count, 'JUSTID')
            end
            if pending[2] == ARGV[2] then own = own + 1 end
            entries[#entries + 1] = entry
            counts[#counts + 1] = count
          else
            redis.call('XACK', KEYS[1], ARGV[1], pending[1])
            gone[#gone + 1] = pending[1]
          end
        end
        if #page == tonumber(ARGV[5]) then last = page[#page][1] end
        return {entries, counts, gone, last, own}
        """)
}
