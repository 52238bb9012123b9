internal import Hiredis

/// An event that was given up.
public struct DeadLetter: Sendable, Codable {
    /// Where it stands among the group's dead letters.
    public let id: String
    /// The partition, from 0.
    public let partition: Int
    /// The event's id, source and type; empty when it has none.
    public let eventID: String
    /// The event's source.
    public let source: String
    /// The event's type.
    public let type: String
    /// How many attempts failed.
    public let attempts: Int
    /// Why.
    public let reason: String
    /// When it was given up, RFC 3339.
    public let failedAt: String
}

extension Broker {
    /// A group's dead letters of a topic, oldest first.
    public func deadLetters(topic: Topic, group: GroupName) async throws(FreshetError) -> [DeadLetter] {
        var letters: [DeadLetter] = []
        for partition in 0..<topic.partitions {
            for try await entry in entries(of: keys(topic.name, partition).dead(group)) {
                func text(_ name: String) -> String { entry.field(name)?.string ?? "" }
                letters.append(
                    DeadLetter(
                        id: entry.id.description, partition: partition, eventID: text("id"),
                        source: text("source"),
                        type: text("type"), attempts: entry.field(Field.attempt)?.integer ?? 0,
                        reason: text(Field.reason), failedAt: text(Field.failedAt)))
            }
        }
        return letters
    }

    /// Brings a dead letter back to its group, with all its attempts, in one atomic step; false when it is gone.
    public func retry(_ letter: DeadLetter, topic: TopicName, group: GroupName) async throws(FreshetError)
        -> Bool
    {
        let keys = keys(topic, letter.partition)
        return try await run(Self.retrying, keys: [keys.dead(group), keys.redelivery(group)], letter.id)
            .integer == 1
    }

    /// Deletes a dead letter for good; false when it is gone.
    public func discard(_ letter: DeadLetter, topic: TopicName, group: GroupName) async throws(FreshetError)
        -> Bool
    {
        try await send(RedisCommand("XDEL", keys(topic, letter.partition).dead(group), letter.id)).integer
            == 1
    }

    /// KEYS dead redelivery; ARGV id. The count of retries goes with the event.
    private static let retrying = RedisScript(
        """
        local entry = redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1])
        if #entry == 0 then return 0 end
        local fields, out, retries = entry[1][2], {}, 0
        for i = 1, #fields, 2 do
          local name = fields[i]
          if name == 'freshetretries' then
            retries = tonumber(fields[i + 1]) or 0
          elseif name ~= 'freshetattempt' and name ~= 'freshetreason' and name ~= 'freshetfailedat' then
            out[#out + 1] = name
            out[#out + 1] = fields[i + 1]
          end
        end
        out[#out + 1] = 'freshetretries'
        out[#out + 1] = retries + 1
        redis.call('XADD', KEYS[2], '*', unpack(out))
        redis.call('XDEL', KEYS[1], ARGV[1])
        return 1
        """)
}
