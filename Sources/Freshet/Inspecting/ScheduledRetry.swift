public import Hiredis

/// An event that waits for its next attempt.
public struct ScheduledRetry: Sendable, Codable {
    /// The partition, from 0.
    public let partition: Int
    /// Where it stands in the log; nil when the entry does not say.
    public let position: StreamID?
    /// When it is due, by the server's clock.
    public let dueAt: String
    /// The event's id; empty when it has none.
    public let eventID: String
    /// The event's source; empty when it has none.
    public let source: String
    /// The event's type; empty when it has none.
    public let type: String
    /// What must stay in order; empty when nothing must.
    public let key: String
    /// How many attempts have failed.
    public let attempts: Int
    /// Why the last one failed.
    public let reason: String

    init(_ fields: RedisReplies, due: Int64, partition: Int) {
        var values: [String: String] = [:]
        var iterator = fields.makeIterator()
        while let name = iterator.next()?.string, let value = iterator.next()?.string { values[name] = value }
        self.partition = partition
        position = values[Field.originalID].flatMap { StreamID($0) }
        dueAt = Timestamp(milliseconds: due).description
        eventID = values["id"] ?? ""
        source = values["source"] ?? ""
        type = values["type"] ?? ""
        key = values["partitionkey"] ?? ""
        attempts = values[Field.attempt].flatMap { Int($0) } ?? 0
        reason = values[Field.reason] ?? ""
    }
}

/// Which of a group's retries are meant; all of them, unless something narrows it.
public struct RetrySelection: Sendable {
    /// Only these events, by id; nil is any.
    public var eventIDs: Set<String>?
    /// Only events of this type; nil is any.
    public var type: EventType?

    /// All retries.
    public init() {}

    func includes(_ retry: ScheduledRetry) -> Bool {
        (eventIDs.map { $0.contains(retry.eventID) } ?? true)
            && (type.map { $0.rawValue == retry.type } ?? true)
    }
}

/// What an operator may do with a retry.
public enum RetryChange: String, Sendable {
    /// It is due now.
    case now
    /// It becomes a dead letter now. With `.perKey` the later events of its key go on.
    case cancel
}

extension Broker {
    /// A group's retries of a topic, partition after partition, each soonest first.
    ///
    /// - Parameter body: called with each; false ends it there.
    public func forEachRetry(
        of group: GroupName, topic: Topic, where selection: RetrySelection = RetrySelection(),
        _ body: (ScheduledRetry) throws -> Bool
    ) async throws {
        _ = try await visit(group, topic, selection) { retry, _ in try body(retry) }
    }

    /// Changes retries; returns how many. Each is changed in one atomic step, and only when it still waits. Those that are
    /// selected are held in memory with their events: a retry that fails again meanwhile is not taken for another one.
    ///
    /// - Parameter onProgress: called with the count after each; false ends it there.
    public func changeRetries(
        _ change: RetryChange, of group: GroupName, topic: Topic, where selection: RetrySelection,
        onProgress: (Int) -> Bool = { _ in true }
    ) async throws -> Int {
        var found: [(partition: Int, member: RedisBytes)] = []
        _ = try await visit(group, topic, selection) { retry, member in
            found.append((retry.partition, member))
            return true
        }
        var changed = 0
        for (partition, member) in found {
            let keys = keys(topic.name, partition)
            let reply = try await run(
                RetryScripts.change, keys: [keys.delayed(group), keys.redelivery(group), keys.dead(group)],
                change.rawValue, Timestamp.now().description, member)
            changed += reply.integer ?? 0
            guard onProgress(changed) else { break }
        }
        return changed
    }

    private func visit(
        _ group: GroupName, _ topic: Topic, _ selection: RetrySelection,
        _ body: (ScheduledRetry, RedisBytes) throws -> Bool
    ) async throws -> Bool {
        for partition in 0..<topic.partitions {
            var rank = 0
            while true {
                let reply = try await run(
                    RetryScripts.page, keys: [keys(topic.name, partition).delayed(group)], rank, 100)
                guard let page = reply.array.map(Array.init), !page.isEmpty else { break }
                for element in page {
                    guard let parts = element.array.map(Array.init), parts.count == 3,
                        let member = parts[0].bytes,
                        let due = parts[1].string.flatMap({ Double($0) }), let fields = parts[2].array
                    else { throw FreshetError(RedisError(.unexpectedReply, "a retry of another shape")) }
                    let retry = ScheduledRetry(fields, due: Int64(due), partition: partition)
                    if selection.includes(retry), try !body(retry, member) { return false }
                }
                rank += page.count
            }
        }
        return true
    }
}

private enum RetryScripts {
    /// KEYS delayed; ARGV rank count. Returns {member, due, fields} of each.
    static let page = RedisScript(
        """
        local page = {}
        local members = redis.call('ZRANGE', KEYS[1], ARGV[1], ARGV[1] + ARGV[2] - 1, 'WITHSCORES')
        for i = 1, #members, 2 do
          local fields = cmsgpack.unpack(string.sub(members[i], string.find(members[i], ' ', 1, true) + 1))
          page[#page + 1] = {members[i], members[i + 1], fields}
        end
        return page
        """)

    /// KEYS delayed redelivery dead; ARGV change time member. Returns 1, or 0 when it waits no more. A cancelled retry leaves
    /// word in the redelivery stream, for an owner that holds its key back.
    static let change = RedisScript(
        """
        if redis.call('ZREM', KEYS[1], ARGV[3]) == 0 then return 0 end
        local fields = cmsgpack.unpack(string.sub(ARGV[3], string.find(ARGV[3], ' ', 1, true) + 1))
        if ARGV[1] == 'now' then
          redis.call('XADD', KEYS[2], '*', unpack(fields))
          return 1
        end
        local word, dead = {}, {}
        for i = 1, #fields, 2 do
          if fields[i] ~= 'data' then
            word[#word + 1] = fields[i]
            word[#word + 1] = fields[i + 1]
          end
          dead[#dead + 1] = fields[i]
          dead[#dead + 1] = fields[i + 1]
        end
        dead[#dead + 1] = 'freshetfailedat'
        dead[#dead + 1] = ARGV[2]
        redis.call('XADD', KEYS[3], '*', unpack(dead))
        word[#word + 1] = 'freshetcancelled'
        word[#word + 1] = '1'
        redis.call('XADD', KEYS[2], '*', unpack(word))
        return 1
        """)
}
