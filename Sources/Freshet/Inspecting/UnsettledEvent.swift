public import Hiredis

/// An event that was delivered to a group and is not settled: a consumer holds it, or its retry waits for its time.
public struct UnsettledEvent: Sendable, Codable {
    /// What it waits for.
    public enum State: String, Sendable, Codable {
        /// A consumer holds it.
        case held
        /// Its next attempt has a time.
        case delayed
    }

    /// The topic.
    public let topic: TopicName
    /// The group.
    public let group: GroupName
    /// The partition, from 0.
    public let partition: Int
    /// Whether it is held or waits.
    public let state: State
    /// Whether it is to be seen again: a retry, or replayed.
    public let isRedelivery: Bool
    /// Where it stands in its stream; of a delayed one in the log, nil when the entry does not say.
    public let position: StreamID?
    /// The event's id; empty when it has none, or when its entry is gone.
    public let eventID: String
    /// The event's type; empty when it has none, or when its entry is gone.
    public let type: String
    /// What must stay in order; empty when nothing must.
    public let key: String
    /// Who holds it; nil for a delayed one.
    public let consumer: String?
    /// Seconds since it was last delivered, claimed or renewed; nil for a delayed one.
    public let idleSeconds: Double?
    /// How often the server has delivered it; nil for a delayed one.
    public let deliveries: Int?
    /// How many attempts have failed.
    public let failedAttempts: Int
    /// When the next attempt is due; nil for one that is held.
    public let nextAttempt: String?
    /// Whether someone has deleted its entry: it is lost to the group.
    public let isGone: Bool
}

/// Which unsettled events are meant; all of them, unless something narrows it.
public struct UnsettledSelection: Sendable {
    /// Only those that this consumer holds; nil is any.
    public var consumer: String?
    /// Only those that were not delivered, claimed or renewed for so long; nil is any.
    public var idleOver: Duration?

    /// All.
    public init() {}

    /// Whether retries are meant as well, which nobody holds.
    public var includesDelayed: Bool { consumer == nil && idleOver == nil }
}

extension Broker {
    /// A group's unsettled events of a topic: partition after partition those that are held, oldest first, then the retries, soonest
    /// first.
    ///
    /// - Parameter body: called with each; false ends it there.
    public func forEachUnsettled(
        of group: GroupName, topic: Topic, where selection: UnsettledSelection = UnsettledSelection(),
        _ body: (UnsettledEvent) throws -> Bool
    ) async throws {
        for partition in 0..<topic.partitions {
            let keys = keys(topic.name, partition)
            for (stream, isRedelivery) in [(keys.events, false), (keys.redelivery(group), true)] {
                var from = StreamID.zero
                while true {
                    let reply = try await run(
                        UnsettledScripts.page, keys: [stream], group.rawValue, from, 100,
                        selection.idleOver?.inMilliseconds ?? 0, selection.consumer ?? "")
                    guard let page = reply.array.map(Array.init), !page.isEmpty else { break }
                    for element in page {
                        guard
                            let event = UnsettledEvent(
                                element, topic.name, group, partition, isRedelivery: isRedelivery)
                        else {
                            throw FreshetError(
                                RedisError(.unexpectedReply, "a pending entry of another shape"))
                        }
                        if try !body(event) { return }
                        from = event.position?.successor ?? .newest
                    }
                }
            }
        }
        guard selection.includesDelayed else { return }
        try await forEachRetry(of: group, topic: topic) { retry in
            try body(UnsettledEvent(retry, topic.name, group))
        }
    }
}

extension UnsettledEvent {
    fileprivate init?(
        _ reply: RedisReply, _ topic: TopicName, _ group: GroupName, _ partition: Int, isRedelivery: Bool
    ) {
        guard let parts = reply.array.map(Array.init), parts.count == 9, let position = parts[0].streamID,
            let idle = parts[2].integer, let there = parts[4].integer
        else { return nil }
        self.init(
            topic: topic, group: group, partition: partition, state: .held, isRedelivery: isRedelivery,
            position: position, eventID: parts[5].string ?? "", type: parts[6].string ?? "",
            key: parts[7].string ?? "", consumer: parts[1].string ?? "", idleSeconds: Double(idle) / 1000,
            deliveries: parts[3].integer, failedAttempts: parts[8].integer ?? 0, nextAttempt: nil,
            isGone: there == 0)
    }

    fileprivate init(_ retry: ScheduledRetry, _ topic: TopicName, _ group: GroupName) {
        self.init(
            topic: topic, group: group, partition: retry.partition, state: .delayed, isRedelivery: true,
            position: retry.position, eventID: retry.eventID, type: retry.type, key: retry.key, consumer: nil,
            idleSeconds: nil, deliveries: nil, failedAttempts: retry.attempts, nextAttempt: retry.dueAt,
            isGone: false)
    }
}

private enum UnsettledScripts {
    /// Of the entries only what is shown leaves the server, not the payloads. The entries of a page are looked at until 4 MiB were
    /// copied: a page then ends early, never empty.
    ///
    /// KEYS stream; ARGV group from count idle consumer. Returns {id, consumer, idle, deliveries, 1 when the entry is there, event id, type,
    /// key, failed attempts} of each.
    static let page = RedisScript(
        """
        local page, bytes = {}, 0
        local arguments = {'XPENDING', KEYS[1], ARGV[1], 'IDLE', ARGV[4], ARGV[2], '+', ARGV[3]}
        if ARGV[5] ~= '' then arguments[#arguments + 1] = ARGV[5] end
        local pending = redis.pcall(unpack(arguments))
        if pending.err then
          if string.find(pending.err, 'NOGROUP', 1, true) then return {} end
          return pending
        end
        for _, one in ipairs(pending) do
          if bytes >= 4194304 then break end
          local entry = redis.call('XRANGE', KEYS[1], one[1], one[1])[1]
          local fields = {}
          if entry then
            for i = 1, #entry[2], 2 do
              fields[entry[2][i]] = entry[2][i + 1]
              bytes = bytes + #entry[2][i + 1]
            end
          end
          page[#page + 1] = {
            one[1], one[2], one[3], one[4], entry and 1 or 0, fields.id or '', fields.type or '',
            fields.partitionkey or '', fields.freshetattempt or ''
          }
        end
        return page
        """)
}
