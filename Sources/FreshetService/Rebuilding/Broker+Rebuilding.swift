internal import FoundationEssentials
public import Freshet
internal import Hiredis

/// How a rebuild stands that was asked of a group's workers.
public struct RebuildStatus: Sendable {
    /// How far it is.
    public enum State: String, Sendable {
        /// No worker has taken it yet.
        case asked
        /// A worker is at it.
        case running
        /// It has come to its end: there is a report.
        case done
        /// It has ended, and nothing was changed.
        case failed
    }
    /// How far it is.
    public let state: State
    /// How many entries of the history were read.
    public let done: Int
    /// How many there are.
    public let total: Int
    /// The worker that is at it; empty when none is.
    public let worker: String
    /// When that was heard of last, in seconds before now; nil when it never was.
    public let silence: Double?
    /// What came of it.
    public let report: RebuildReport?
    /// Why it failed.
    public let failure: String
}

/// A rebuild that a running worker of a group is to make.
struct RebuildRequest: Sendable, Codable {
    let id: String
    let options: RebuildOptions
}

extension Broker {
    /// A worker that says nothing for so long has died.
    public static let rebuildSilence = 15.0

    /// Asks the running workers of a group for a rebuild: one of them takes it within some seconds. Returns its id. Throws `busy` while one
    /// is under way.
    public func askForRebuild(of group: GroupName, _ options: RebuildOptions) async throws -> String {
        if let known = try await rebuildStatus(of: group), known.state == .running,
            known.silence ?? 0 < Self.rebuildSilence
        {
            throw FreshetError(.busy, "a rebuild of '\(group)' is under way (by \(known.worker))")
        }
        let request = RebuildRequest(id: EventID.make(), options: options)
        let text = String(decoding: try JSONEncoder().encode(request), as: UTF8.self)
        _ = try await run(
            RebuildScripts.ask, keys: [rebuildKey(group)], request.id, text, "86400")
        return request.id
    }

    /// Takes back what no worker has taken. False when one has.
    public func withdrawRebuild(_ id: String, of group: GroupName) async throws -> Bool {
        try await run(RebuildScripts.withdraw, keys: [rebuildKey(group)], id).integer == 1
    }

    /// How the latest rebuild stands that was asked of a group; nil when there is none.
    public func rebuildStatus(of group: GroupName) async throws -> RebuildStatus? {
        let fields = try await send(RedisCommand("HGETALL", rebuildKey(group))).array.map(Array.init) ?? []
        var values: [String: String] = [:]
        for index in stride(from: 0, to: fields.count - 1, by: 2) {
            values[fields[index].string ?? ""] = fields[index + 1].string
        }
        guard let state = values["state"].flatMap(RebuildStatus.State.init) else { return nil }
        let now = try await serverTime().milliseconds
        return RebuildStatus(
            state: state, done: values["done"].flatMap { Int($0) } ?? 0,
            total: values["total"].flatMap { Int($0) } ?? 0, worker: values["worker"] ?? "",
            silence: values["heard"].flatMap { Int64($0) }.map { Double(now - $0) / 1000 },
            // Nil as well for a worker of another version.
            report: values["report"].flatMap {
                try? JSONDecoder().decode(RebuildReport.self, from: Data($0.utf8))
            }, failure: values["failure"] ?? "")
    }

    /// What is asked of a group, for the worker that takes it; nil when nothing is.
    func takeRebuild(of group: GroupName, by worker: ConsumerName) async throws -> RebuildRequest? {
        let reply = try await run(RebuildScripts.take, keys: [rebuildKey(group)], worker.rawValue)
        guard let text = reply.bytes else { return nil }
        return try JSONDecoder().decode(RebuildRequest.self, from: Data(text.array))
    }

    /// Says how a rebuild stands, while it is this one. False when it is not any more.
    func tell(_ fields: [String: String], of id: String, _ group: GroupName) async throws -> Bool {
        let arguments: [any RedisArgument] = [id] + fields.flatMap { [$0.key, $0.value] }
        let reply: RedisReply
        do {
            reply = try await RebuildScripts.tell.run(
                on: client, keys: [rebuildKey(group)], arguments: arguments)
        } catch { throw FreshetError(error) }
        return reply.integer == 1
    }

    private func rebuildKey(_ group: GroupName) -> String { "\(namespace):rebuild:{\(group)}" }
}

/// KEYS the hash of a group's rebuild. Times are the server's.
private enum RebuildScripts {
    /// ARGV id request seconds.
    static let ask = RedisScript(
        """
        redis.call('DEL', KEYS[1])
        redis.call('HSET', KEYS[1], 'id', ARGV[1], 'request', ARGV[2], 'state', 'asked')
        redis.call('EXPIRE', KEYS[1], ARGV[3])
        return 1
        """)

    /// ARGV worker.
    static let take = RedisScript(
        """
        if redis.call('HGET', KEYS[1], 'state') ~= 'asked' then return false end
        local time = redis.call('TIME')
        redis.call('HSET', KEYS[1], 'state', 'running', 'worker', ARGV[1], 'heard',
          string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000)))
        return redis.call('HGET', KEYS[1], 'request')
        """)

    /// ARGV id.
    static let withdraw = RedisScript(
        """
        if redis.call('HGET', KEYS[1], 'id') ~= ARGV[1] then return 0 end
        if redis.call('HGET', KEYS[1], 'state') ~= 'asked' then return 0 end
        return redis.call('DEL', KEYS[1])
        """)

    /// ARGV id [field value]...
    static let tell = RedisScript(
        """
        if redis.call('HGET', KEYS[1], 'id') ~= ARGV[1] then return 0 end
        local time = redis.call('TIME')
        redis.call('HSET', KEYS[1], 'heard', string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000)))
        for i = 2, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
        return 1
        """)
}
