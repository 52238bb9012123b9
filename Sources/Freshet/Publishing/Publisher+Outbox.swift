package import Hiredis

/// Events of an outbox that go to one partition in one step.
package struct OutboxBatch: Sendable {
    /// An event, and its delivery time when it has one.
    package typealias Member = (event: Event, deliverAt: Timestamp?)

    /// The outbox's own name.
    package let outbox: String
    /// The partition, from 0.
    package let partition: Int
    /// The partition's high-water mark from now on: higher than any that was given out before.
    package let mark: Int64
    /// The mark of the newest batch that the partition must have.
    package let previous: Int64
    /// In the order of their commits. Without any only the mark is raised.
    package let events: [Member]

    /// A batch.
    package init(
        outbox: String, partition: Int, mark: Int64, previous: Int64, events: [Member]
    ) {
        self.outbox = outbox
        self.partition = partition
        self.mark = mark
        self.previous = previous
        self.events = events
    }
}

/// How the publication of an outbox's batch ended.
package enum OutboxPublication: Sendable {
    /// The first events are published, each with its position, or nil for one that waits for its time. A full
    /// partition takes fewer than all.
    case published([StreamID?])
    /// Nothing was added: the partition's mark is another one, lower after a loss, or as high as the batch's
    /// own.
    case refused(mark: Int64)
}

/// High-water marks: a number beside each log, in the same slot, that rises with each batch of an outbox in
/// the same step as the batch is added. Whatever loses the batch (a restart from a snapshot, a replica that
/// lagged, a primary that was cut off) loses the number with it, since servers copy and keep writes in their
/// order. So one number tells what of the outbox a server has ever had, also of entries that were trimmed, or
/// settled in a queue, and no batch can be added to a server that lacks the one before.
extension Publisher {
    /// Publishes the events of a batch, all or, into a partition with a limit, the first that fit; nothing
    /// when the partition lacks earlier events of the outbox.
    ///
    /// It is waited for what the topic's durability asks for, and an event that has not survived that in time
    /// counts as published all the same: its outbox has it still, and publishes it again should it be lost.
    /// To add it again now would fill the log.
    package func publish(_ batch: OutboxBatch) async throws(FreshetError) -> OutboxPublication {
        let now = batch.events.indices.filter { batch.events[$0].deliverAt == nil }
        guard let tracing, !now.isEmpty else { return try await add(batch, batch.events) }
        let spans = PublishSpans(now.map { batch.events[$0].event }, to: topic, tracing)
        var events = batch.events
        for (index, event) in zip(now, spans.events) { events[index].event = event }
        do throws(FreshetError) {
            let outcome = try await add(batch, events)
            let count = if case .published(let ids) = outcome { ids.count } else { 0 }
            spans.end(
                now.map { $0 < count ? .success(()) : Result<Void, _>.failure(full(batch.partition)) })
            return outcome
        } catch {
            spans.end(error)
            throw error
        }
    }

    private func add(_ batch: OutboxBatch, _ events: [OutboxBatch.Member]) async throws(FreshetError)
        -> OutboxPublication
    {
        let settings = try await state.settings(of: topic, on: broker)
        let durability = options.durability ?? settings.durability
        let client = durability == .memory ? broker.client : state.waitingClient(like: broker.client)
        try await requireFsync(durability, client)
        let replies: RedisReplies
        do throws(RedisError) {
            replies = try await OutboxScripts.publish.run(
                on: client, keys: keys(batch.outbox, batch.partition),
                argumentCount: events.reduce(3) { $0 + 2 + $1.event.argumentCount },
                following: events.isEmpty ? RedisPipeline() : durability.confirmation,
                block: events.isEmpty ? .zero : durability.limit
            ) { command in
                (settings.limit ?? -1).write(to: &command)
                Int(batch.mark).write(to: &command)
                Int(batch.previous).write(to: &command)
                for (event, time) in events {
                    command.append(time.map { String($0.milliseconds) } ?? "")
                    event.argumentCount.write(to: &command)
                    event.write(to: &command)
                }
            }
        } catch { throw FreshetError(error) }
        if let mark = replies[0].integer { return .refused(mark: Int64(mark)) }
        guard let ids = replies[0].array, ids.count <= events.count else {
            throw FreshetError(RedisError(.unexpectedReply, "a publication of another shape"))
        }
        state.confirmed(ids.count)
        return .published(ids.map(\.streamID))
    }

    /// The mark of an outbox that a partition has: everything of the outbox with a mark that is no higher is,
    /// or was, in it.
    package func mark(of outbox: String, _ partition: Int) async throws(FreshetError) -> Int64 {
        let reply = try await broker.run(OutboxScripts.mark, keys: keys(outbox, partition))
        guard let mark = reply.integer else {
            throw FreshetError(RedisError(.unexpectedReply, "a mark of another shape"))
        }
        return Int64(mark)
    }

    /// Whether these events stand where they were added.
    package func contains(
        _ events: [(id: StreamID, source: String, eventID: String)], in partition: Int
    ) async throws(FreshetError) -> [Bool] {
        let replies: RedisReplies
        do throws(RedisError) {
            replies = try await OutboxScripts.contains.run(
                on: broker.client, keys: [broker.keys(topic.name, partition).events],
                argumentCount: 3 * events.count
            ) { command in
                for event in events {
                    event.id.write(to: &command)
                    command.append(event.source)
                    command.append(event.eventID)
                }
            }
        } catch { throw FreshetError(error) }
        guard let found = replies[0].array, found.count == events.count else {
            throw FreshetError(RedisError(.unexpectedReply, "a look of another shape"))
        }
        return found.map { $0.integer == 1 }
    }

    /// The partition of an event of an outbox: one without a key goes by its id, so that it goes there again.
    package static func partition(of event: Event, in topic: Topic) -> Int {
        topic.partition(ofKey: event.partitionKey ?? event.id)
    }

    private func full(_ partition: Int) -> FreshetError {
        FreshetError(.full, "partition \(partition) of '\(topic.name)' takes no more events now")
    }

    private func keys(_ outbox: String, _ partition: Int) -> [String] {
        let keys = broker.keys(topic.name, partition)
        return [keys.events, keys.scheduled, keys.published(outbox)]
    }
}

private enum OutboxScripts {
    /// The mark is nothing without the log beside which it was raised: someone removed the log.
    private static let high = """
        local function high()
          local saved = redis.call('HMGET', KEYS[3], 'mark', 'log')
          if not saved[1] then return 0 end
          if saved[2] and redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
          return tonumber(saved[1])
        end

        """

    /// KEYS log scheduled published. Returns the mark.
    static let mark = RedisScript(high + "return high()")

    /// KEYS log scheduled published; ARGV limit (-1 is none) mark previous, and for each event when it is due
    /// ('' is now), how many arguments follow, these. Returns the position of each that was added, '' for one
    /// that waits; or the mark when it is not the right one. What adds comes before the mark: a failure of
    /// the first ends the script with nothing changed.
    static let publish = RedisScript(
        high + """
            local mark = high()
            if mark < tonumber(ARGV[3]) or mark >= tonumber(ARGV[2]) then return mark end
            local limit, length = tonumber(ARGV[1]), 0
            if limit >= 0 then length = redis.call('XLEN', KEYS[1]) end
            local result, i = {}, 4
            while i <= #ARGV do
              local count = tonumber(ARGV[i + 1])
              if ARGV[i] ~= '' then
                local fields = {}
                for k = i + 2, i + 1 + count do fields[#fields + 1] = ARGV[k] end
                redis.call('ZADD', KEYS[2], 'NX', ARGV[i], '- ' .. cmsgpack.pack(fields))
                result[#result + 1] = ''
              elseif limit >= 0 and length >= limit then
                break
              else
                result[#result + 1] = redis.call('XADD', KEYS[1], '*', unpack(ARGV, i + 2, i + 1 + count))
                length = length + 1
              end
              i = i + 2 + count
            end
            redis.call('HSET', KEYS[3], 'mark', ARGV[2])
            if redis.call('EXISTS', KEYS[1]) == 1 then
              redis.call('HSET', KEYS[3], 'log', '1')
            else
              redis.call('HDEL', KEYS[3], 'log')
            end
            return result
            """)

    /// KEYS log; ARGV for each event position, source, id. Returns 1 for each that stands there.
    static let contains = RedisScript(
        """
        local result = {}
        for i = 1, #ARGV, 3 do
          local source, id = '', ''
          for _, entry in ipairs(redis.call('XRANGE', KEYS[1], ARGV[i], ARGV[i])) do
            for k = 1, #entry[2], 2 do
              if entry[2][k] == 'source' then source = entry[2][k + 1] end
              if entry[2][k] == 'id' then id = entry[2][k + 1] end
            end
          end
          result[#result + 1] = source == ARGV[i + 1] and id == ARGV[i + 2] and 1 or 0
        end
        return result
        """)
}
