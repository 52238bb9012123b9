package import Hiredis

extension Broker {
    /// Says that all entries of a partition up to this one are in an archive, which was read again: a retention that keeps
    /// what is not archived may cut them off.
    ///
    /// - Parameters:
    ///   - archive: which archive it is; nil when it has no name.
    ///   - takesOver: whether a mark that another archive has set within the last day is moved as well.
    /// - Returns: the archive whose mark stays; nil when this one's was set.
    @discardableResult
    package func mark(
        _ topic: TopicName, _ partition: Int, archivedThrough id: StreamID, by archive: String?,
        takesOver: Bool
    ) async throws(FreshetError) -> String? {
        do {
            let reply = try await ArchiveMark.setting.run(
                on: client, keys: [namespace.topicKey(topic)],
                arguments: [
                    ArchiveMark.field(partition), id, ArchiveMark.ownerField(partition), archive ?? "",
                    takesOver ? 1 : 0,
                ])
            return reply.string.flatMap { $0.isEmpty ? nil : $0 }
        } catch { throw FreshetError(error) }
    }
}

/// Up to where a partition is archived, and by which archive, in the topic's hash.
enum ArchiveMark {
    static func field(_ partition: Int) -> String { "archived:\(partition)" }
    static func ownerField(_ partition: Int) -> String { "archived:by:\(partition)" }
    /// What holds a cut back, beside groups. No group can have this name.
    static let holder = "(archive)"

    /// KEYS the topic's hash; ARGV field, id, field of the archive, archive, whether it takes over. Returns the archive that
    /// has set the mark within the last day, or '' when it was moved.
    static let setting = RedisScript(
        """
        local now = tonumber(redis.call('TIME')[1])
        local archive, time = string.match(redis.call('HGET', KEYS[1], ARGV[3]) or '', '^(%S+) (%d+)$')
        if archive and archive ~= ARGV[4] and ARGV[5] ~= '1' and now - tonumber(time) < 86400 then return archive end
        redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
        if ARGV[4] == '' then redis.call('HDEL', KEYS[1], ARGV[3])
        else redis.call('HSET', KEYS[1], ARGV[3], ARGV[4] .. ' ' .. now) end
        return ''
        """)
}
