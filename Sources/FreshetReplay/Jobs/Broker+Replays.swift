internal import FoundationEssentials
public import Freshet
internal import Hiredis

extension Broker {
    /// How long a replay is remembered.
    private static let remembered = 90 * 86_400

    /// Keeps a plan, so that it can be started.
    public func save(_ plan: ReplayPlan, by actor: Operator) async throws -> ReplayJob {
        let key = namespace.replayKey(plan.id)
        _ = try await send(
            RedisCommand(
                "HSET", key, "plan", try Self.text(of: plan), "state", ReplayJob.State.planned.rawValue, "by",
                actor.name,
                "reason", actor.reason))
        _ = try await send(RedisCommand("EXPIRE", key, Self.remembered))
        let now = try await serverTime().milliseconds
        try await list(plan, at: now)
        _ = try await send(
            RedisCommand(
                "ZREMRANGEBYSCORE", namespace.replaysKey, "-inf", "\(now - Int64(Self.remembered) * 1000)"))
        try await audit("replay.plan", by: actor, plan, "\(plan.selected.count) events")
        return try await replay(plan.id)
    }

    private static func text(of plan: ReplayPlan) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        return String(decoding: try encoder.encode(plan), as: UTF8.self)
    }

    private func list(_ plan: ReplayPlan, at milliseconds: Int64) async throws(FreshetError) {
        _ = try await send(RedisCommand("ZADD", namespace.replaysKey, "NX", "\(milliseconds)", plan.id))
    }

    /// The replays that are remembered, oldest first.
    public func replays() async throws -> [ReplayJob] {
        var jobs: [ReplayJob] = []
        let ids = try await send(RedisCommand("ZRANGE", namespace.replaysKey, 0, -1)).array ?? nil
        for id in ids?.compactMap(\.string) ?? [] {
            do {
                if let job = try await job(id) { jobs.append(job) }
            } catch let error as FreshetError where error.code == .invalidData {
                // Another version's.
                continue
            }
        }
        return jobs
    }

    /// The replay to this group that a process is at, running or paused; nil when there is none. One question when there is
    /// none; else the hundred that were planned last are looked at.
    package func replayUnderWay(to group: GroupName, on topic: TopicName) async throws -> ReplayJob? {
        let lock = namespace.replayingKey(topic, group)
        guard let holder = try await send(RedisCommand("GET", lock)).string else { return nil }
        let newest = try await send(RedisCommand("ZREVRANGE", namespace.replaysKey, 0, 99)).array ?? nil
        let ids = newest?.compactMap(\.string) ?? []
        guard !ids.isEmpty else { return nil }
        var runs = RedisPipeline()
        for id in ids { runs.append("HGET", namespace.replayKey(id), "run") }
        for (id, run) in zip(ids, try await send(runs)) {
            guard let run = run.string, !run.isEmpty, holder.hasSuffix(" \(run)") else { continue }
            return try await job(id).flatMap { $0.state == .running || $0.state == .paused ? $0 : nil }
        }
        return nil
    }

    /// The replay of this id, or of the only one that begins so. Throws `notFound`.
    public func replay(_ id: String) async throws -> ReplayJob {
        if let job = try await job(id) { return job }
        let ids = try await send(RedisCommand("ZRANGE", namespace.replaysKey, 0, -1)).array
        let found = ids?.compactMap(\.string).filter { !id.isEmpty && $0.hasPrefix(id) } ?? []
        if found.count == 1, let job = try await job(found[0]) { return job }
        throw FreshetError(
            .notFound,
            found.count > 1
                ? "'\(id)' begins the ids of \(found.count) replays"
                : "no replay '\(id)' in the namespace '\(namespace)' (see: replay list)")
    }

    /// Has the process that runs a replay pause it. Throws `refused` when none does.
    public func pause(_ job: ReplayJob, by actor: Operator) async throws {
        guard job.state == .running else {
            throw FreshetError(.refused, "the replay is \(job.state.rawValue), so there is nothing to pause")
        }
        try await update(job.plan, ["wanted": "pause"])
        try await audit("replay.pause", by: actor, job.plan)
        try await heard(of: job.plan) { $0 != .running }
    }

    /// Has the process that paused a replay go on. False when there is no such process: then it is started again.
    public func unpause(_ job: ReplayJob, by actor: Operator) async throws -> Bool {
        switch job.state {
        case .paused, .running:
            guard try await run(ReplayScripts.unpause, keys: [namespace.replayKey(job.id)]).integer == 1
            else {
                throw FreshetError(.refused, "someone has cancelled the replay")
            }
            try await audit("replay.resume", by: actor, job.plan)
            return true
        case .planned, .stopped: return false
        case .done, .cancelled:
            throw FreshetError(.refused, "the replay is \(job.state.rawValue), so there is nothing to resume")
        }
    }

    /// Ends a replay for good. What it has put where it goes stays.
    public func cancel(_ job: ReplayJob, by actor: Operator) async throws {
        guard !job.state.isOver else {
            throw FreshetError(.refused, "the replay is \(job.state.rawValue) already")
        }
        // Also for a process that is about to begin.
        try await update(job.plan, ["wanted": "cancel"])
        try await audit("replay.cancel", by: actor, job.plan, "\(job.done) of \(job.plan.selected.count)")
        if job.state == .running || job.state == .paused {
            try await heard(of: job.plan) { $0.isOver || $0 == .stopped }
        }
        if try await !replay(job.id).state.isOver {
            try await update(job.plan, ["state": ReplayJob.State.cancelled.rawValue])
        }
    }

    // MARK: - What processes tell each other

    /// Waits until the process that runs a replay has done what was wanted. Throws `busy` when it does not answer.
    private func heard(of plan: ReplayPlan, _ isDone: (ReplayJob.State) -> Bool) async throws {
        let deadline = ContinuousClock.now + .seconds(10)
        while try await !isDone(replay(plan.id).state) {
            guard ContinuousClock.now < deadline else {
                throw FreshetError(
                    .busy, "its process has not answered for 10 s: it will do so when it goes on, if it does")
            }
            try await Task.sleep(for: .milliseconds(200))
        }
    }

    /// A run begins: from here on only this one says how the replay stands. A plan that the server has lost
    /// is kept again. Throws
    /// `refused` when the replay is over.
    func begin(_ plan: ReplayPlan, by lock: ReplayLock) async throws {
        let now = try await serverTime()
        let reply = try await run(
            ReplayScripts.begin, keys: [namespace.replayKey(plan.id)], lock.run, now.description,
            "\(Self.remembered)", try Self.text(of: plan))
        if let state = reply.string, state != "ok" {
            throw FreshetError(.refused, "the replay is \(state) already: plan another one")
        }
        try await list(plan, at: now.milliseconds)
    }

    /// Says how a replay stands, while this run is the one that does it; returns what someone wants of it: `pause`, `cancel` or nothing.
    /// A server that has lost that the run began, with its last seconds, is told again. Throws `busy` when
    /// another run has taken over, and `refused` when the replay is over.
    func tell(_ plan: ReplayPlan, by lock: ReplayLock, _ fields: [String: String]) async throws -> String {
        let arguments: [any RedisArgument] = [lock.run] + fields.flatMap { [$0.key, $0.value] }
        for isAgain in [false, true] {
            let reply: RedisReply
            do {
                reply = try await ReplayScripts.tell.run(
                    on: client, keys: [namespace.replayKey(plan.id)], arguments: arguments)
            } catch { throw FreshetError(error) }
            if let wish = reply.string { return wish }
            if isAgain { break }
            // Whoever has the lock is the one that runs.
            try await lock.hold()
            try await begin(plan, by: lock)
        }
        throw FreshetError(.busy, "another process has taken this replay over")
    }

    func update(_ plan: ReplayPlan, _ fields: [String: String]) async throws(FreshetError) {
        let pairs = fields.sorted { $0.key < $1.key }.flatMap { [$0.key, $0.value] }
        let command = ["HSET", namespace.replayKey(plan.id)] + pairs
        _ = try await send(RedisCommand(arguments: command))
    }

    func audit(_ action: String, by actor: Operator, _ plan: ReplayPlan, _ details: String = "")
        async throws(FreshetError)
    {
        try await audit(
            action, by: actor, topic: plan.topic, target: plan.target.name, replay: plan.id,
            details: details)
    }

    private func job(_ id: String) async throws -> ReplayJob? {
        let reply =
            try await send(RedisCommand("HGETALL", namespace.replayKey(id))).array.map(Array.init) ?? []
        var fields: [String: String] = [:]
        for index in stride(from: 0, to: reply.count - 1, by: 2) {
            fields[reply[index].string ?? ""] = reply[index + 1].string
        }
        guard let text = fields["plan"] else { return nil }
        guard let plan = try? JSONDecoder().decode(ReplayPlan.self, from: Data(text.utf8)) else {
            throw FreshetError(.invalidData, "the plan '\(id)' was made by another version: plan it again")
        }
        var job = ReplayJob(plan: plan)
        job.state = fields["state"].flatMap(ReplayJob.State.init) ?? .planned
        job.done = fields["done"].flatMap { Int($0) } ?? 0
        job.rate = fields["rate"].flatMap { Double($0) } ?? 0
        job.by = fields["by"] ?? ""
        job.reason = fields["reason"] ?? ""
        (job.started, job.updated) = (fields["started"], fields["updated"])
        job.note = fields["note"] ?? ""
        job.lost = fields["lost"].flatMap { Int($0) } ?? 0
        if job.state == .running || job.state == .paused,
            try await !ReplayLock.isHeld(lockKey(of: job.plan), by: fields["run"] ?? "", on: self)
        {
            job.state = .stopped
            job.note = "its process is gone: replay resume \(id)"
        }
        return job
    }

    /// One replay at a time to a group; others hold nobody up.
    func lockKey(of plan: ReplayPlan) -> String {
        plan.target.group.map { namespace.replayingKey(plan.topic, $0) }
            ?? "\(namespace.replayKey(plan.id)):running"
    }
}

/// KEYS a replay's hash.
private enum ReplayScripts {
    /// ARGV run time seconds plan. Returns 'ok', or the state of one that is over.
    static let begin = RedisScript(
        """
        local state = redis.call('HGET', KEYS[1], 'state')
        if redis.call('HGET', KEYS[1], 'wanted') == 'cancel' then state = 'cancelled' end
        if state == 'done' or state == 'cancelled' then return state end
        redis.call('HSET', KEYS[1], 'run', ARGV[1], 'state', 'running', 'wanted', '', 'note', '')
        redis.call('HSETNX', KEYS[1], 'started', ARGV[2])
        redis.call('HSETNX', KEYS[1], 'plan', ARGV[4])
        redis.call('EXPIRE', KEYS[1], ARGV[3])
        return 'ok'
        """)

    /// ARGV run [field value]... Returns what is wanted, or nil for another run than the latest.
    static let tell = RedisScript(
        """
        if redis.call('HGET', KEYS[1], 'run') ~= ARGV[1] then return false end
        for i = 2, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
        return redis.call('HGET', KEYS[1], 'wanted') or ''
        """)

    /// Returns 0 when it is to be cancelled.
    static let unpause = RedisScript(
        """
        if redis.call('HGET', KEYS[1], 'wanted') == 'cancel' then return 0 end
        redis.call('HSET', KEYS[1], 'wanted', '')
        return 1
        """)
}
