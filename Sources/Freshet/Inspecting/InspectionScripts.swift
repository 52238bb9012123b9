internal import Hiredis

/// What the server is asked in one step.
enum InspectionScripts {
    /// Lua: counts the entries behind one id and not behind another: {count, first, last, 1 when these are all}. A page
    /// is a thousand entries, or 4 MiB of them: XRANGE copies the payloads into Lua, and the server serves nobody else
    /// meanwhile. Its parts double in size, so that a few large entries are noticed before a thousand are copied.
    private static let counting = """
        local function count(key, after, through)
          local size, bytes, count, first, last = 16, 0, 0, '', after
          repeat
            if last == '18446744073709551615-18446744073709551615' then return {count, first, last, 1} end
            local entries = redis.call('XRANGE', key, '(' .. last, through, 'COUNT', size)
            for _, entry in ipairs(entries) do
              for _, text in ipairs(entry[2]) do bytes = bytes + #text end
            end
            if #entries > 0 then
              if first == '' then first = entries[1][1] end
              last = entries[#entries][1]
              count = count + #entries
            end
            if #entries < size then return {count, first, last, 1} end
            size = math.min(size * 2, 1000 - count)
          until size <= 0 or bytes >= 4194304
          return {count, first, last, 0}
        end

        """

    /// Lua: the named fields of one of XINFO's lists.
    private static let named = """
        local function named(list)
          local fields = {}
          for i = 1, #list, 2 do fields[list[i]] = list[i + 1] end
          return fields
        end

        """

    /// KEYS stream; ARGV after through. Returns a page of the count.
    static let count = RedisScript(counting + "return count(KEYS[1], ARGV[1], ARGV[2])")

    /// KEYS log redelivery delayed dead invalid; ARGV group start. Where a group stands on a partition: the time, the
    /// log, the redelivery stream, and how many entries the others have. A group that does not exist on the log stands at
    /// the start.
    static let snapshot = RedisScript(
        counting + named + """
            local function waiting(key, position, length)
              if length == 0 then return {0, '', position, 1} end
              local head = count(key, position, '+')
              local first = redis.call('XRANGE', key, '-', '+', 'COUNT', 1)[1][1]
              if head[2] == first then return {length, first, first, 1} end
              return head
            end
            local function stream(key, start)
              if redis.call('EXISTS', key) == 0 then return {0, 0, '', {0, '', start, 1}, {}, {0, start, -1, -1, '', 0}} end
              local position, pending, oldest, consumers, read, lag, there = start, 0, '', {}, -1, -1, 0
              for _, group in ipairs(redis.call('XINFO', 'GROUPS', key)) do
                local fields = named(group)
                if fields.name == ARGV[1] then
                  position, pending, there = fields['last-delivered-id'], fields.pending, 1
                  read, lag = fields['entries-read'] or -1, fields.lag or -1
                  if pending > 0 then oldest = redis.call('XPENDING', key, ARGV[1])[2] end
                  consumers = redis.call('XINFO', 'CONSUMERS', key, ARGV[1])
                end
              end
              local length = redis.call('XLEN', key)
              local info = named(redis.call('XINFO', 'STREAM', key))
              local first = info['first-entry'] and info['first-entry'][1] or ''
              local marks = {info['entries-added'] or -1, position, read, lag, first, there}
              return {length, pending, oldest, waiting(key, position, length), consumers, marks}
            end
            local time = redis.call('TIME')
            return {
              time[1], time[2], stream(KEYS[1], ARGV[2]), stream(KEYS[2], '0-0'),
              redis.call('ZCARD', KEYS[3]), redis.call('XLEN', KEYS[4]), redis.call('XLEN', KEYS[5])
            }
            """)

    /// KEYS log redelivery delayed dead invalid lease; ARGV group start. What a group has to do on a partition, at a cost that
    /// does not grow with it: see `GroupLoad`. Of what waits in the log the server's own count is taken, which can be too high
    /// after a trim and never is below; where it has none, a page is counted.
    static let load = RedisScript(
        counting + named + """
            local function group(key)
              for _, group in ipairs(redis.call('XINFO', 'GROUPS', key)) do
                local fields = named(group)
                if fields.name == ARGV[1] then return fields end
              end
              return {pending = 0, consumers = 0}
            end
            local function first(key, after)
              local entry = redis.call('XRANGE', key, after, '+', 'COUNT', 1)[1]
              return entry and entry[1] or ''
            end
            local function stream(key, start)
              if redis.call('EXISTS', key) == 0 then return {pending = 0, consumers = 0, length = 0, next = '', held = ''} end
              local fields = group(key)
              fields.position = fields['last-delivered-id'] or start
              fields.length = redis.call('XLEN', key)
              fields.next, fields.held = '', ''
              if fields.length > 0 then fields.next = first(key, '(' .. fields.position) end
              if fields.pending > 0 then fields.held = redis.call('XPENDING', key, ARGV[1], '-', '+', 1)[1][1] end
              return fields
            end
            local log, redelivery = stream(KEYS[1], ARGV[2]), stream(KEYS[2], '0-0')
            local lag, known = 0, 1
            if log.next ~= '' then
              if log.lag then
                lag = math.min(log.lag, log.length)
              elseif log.next == first(KEYS[1], '-') then
                lag = log.length
              else
                lag, known = count(KEYS[1], log.position, '+')[1], 0
              end
            end
            local time = redis.call('TIME')
            local now = time[1] * 1000 + math.floor(time[2] / 1000)
            local dead, oldest = redis.call('XLEN', KEYS[4]), ''
            if dead > 0 then oldest = first(KEYS[4], '-') end
            return {
              now, log.length, lag, known, log.pending + redelivery.pending,
              math.max(0, redelivery.length - redelivery.pending), redis.call('ZCARD', KEYS[3]),
              redis.call('ZCOUNT', KEYS[3], '-inf', now), dead, redis.call('XLEN', KEYS[5]),
              math.max(log.consumers, redelivery.consumers), redis.call('HGET', KEYS[6], 'owner') or '',
              log.next, redelivery.next, log.held, redelivery.held, oldest
            }
            """)

    /// KEYS log; ARGV group. Returns {newest id, entries added, last delivered id or '', pending}, or nothing when there
    /// is no log.
    static let position = RedisScript(
        named + """
            if redis.call('EXISTS', KEYS[1]) == 0 then return {} end
            local stream = named(redis.call('XINFO', 'STREAM', KEYS[1]))
            local delivered, pending = '', 0
            for _, group in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
              local fields = named(group)
              if fields.name == ARGV[1] then
                delivered, pending = fields['last-delivered-id'], fields.pending
              end
            end
            return {stream['last-generated-id'], stream['entries-added'], delivered, pending}
            """)
}
