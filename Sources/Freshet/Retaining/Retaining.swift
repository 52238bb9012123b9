internal import Hiredis

/// What a pass over a topic has cut off, and what it could not.
public struct RetentionReport: Sendable, Hashable, Codable {
    /// The topic.
    public let topic: TopicName
    /// How many entries were cut off.
    public internal(set) var trimmed = 0
    /// Groups that still need entries which the retention would drop: these stay. `(archive)` when they are not archived
    /// yet and the retention asks for it.
    public internal(set) var heldBackBy: [GroupName] = []
    /// Partitions that were not trimmed, because their node does not answer for one, and why.
    public internal(set) var failures: [Int: String] = [:]
}

extension Broker {
    /// Cuts off what a topic's retention no longer keeps. Entries that a group has not been given or has not settled stay,
    /// whatever the retention says; so does what is not archived, when it asks for that, and up to a node of the stream (100 entries), which makes it cheap.
    ///
    /// Consumers trim the partitions that they watch every ten seconds, and publishers a topic without groups
    /// every half minute. A partition that cannot be reached ends nothing for the others: see
    /// `RetentionReport.failures`.
    ///
    /// - Throws: the first error when no partition was trimmed.
    public func enforceRetention(of topic: Topic) async throws(FreshetError) -> RetentionReport {
        try await enforceRetention(of: topic, on: Array(0..<topic.partitions))
    }

    /// - Parameters:
    ///   - partitions: those that are trimmed.
    ///   - isUnread: whether that is only done while the topic has no group.
    func enforceRetention(of topic: Topic, on partitions: [Int], whileUnread isUnread: Bool = false)
        async throws(FreshetError) -> RetentionReport
    {
        var report = RetentionReport(topic: topic.name)
        let known = try await fields(of: topic.name)
        let retention = Retention(known)
        let isLeft = isUnread && known.keys.contains { $0.hasPrefix("start:") }
        guard !retention.isUnlimited, !isLeft, !partitions.isEmpty else { return report }
        // Side by side, so that a node that is away costs one time-out for each eight of its partitions.
        let outcomes = await withTaskGroup(of: (Int, Result<Step, FreshetError>).self) { tasks in
            var outcomes: [(Int, Result<Step, FreshetError>)] = []
            for (number, partition) in partitions.enumerated() {
                if number >= 8, let outcome = await tasks.next() { outcomes.append(outcome) }
                tasks.addTask {
                    do throws(FreshetError) {
                        return (partition, .success(try await trim(topic.name, partition, retention, known)))
                    } catch { return (partition, .failure(error)) }
                }
            }
            for await outcome in tasks { outcomes.append(outcome) }
            return outcomes
        }
        var holding: Set<GroupName> = []
        var failure: FreshetError?
        for (partition, outcome) in outcomes {
            switch outcome {
            case .success(let step):
                report.trimmed += step.trimmed
                if let group = step.heldBackBy { holding.insert(group) }
            case .failure(let error):
                report.failures[partition] = error.description
                failure = failure ?? error
            }
        }
        if let failure, report.failures.count == partitions.count { throw failure }
        report.heldBackBy = holding.sorted()
        return report
    }

    /// Cuts off all that a partition no longer keeps.
    private func trim(
        _ topic: TopicName, _ partition: Int, _ retention: Retention, _ known: [String: String]
    ) async throws(FreshetError) -> Step {
        var arguments: [any RedisArgument] = [
            retention.age.map { $0.inMilliseconds } ?? -1, retention.count ?? -1, retention.bytes ?? -1,
        ]
        for (field, start) in known {
            guard field.hasPrefix("start:"), field.hasSuffix(":\(partition)") else { continue }
            arguments.append(String(field.dropFirst("start:".count).dropLast(":\(partition)".count)))
            arguments.append(start)
        }
        if retention.archivedOnly {
            arguments.append(ArchiveMark.holder)
            arguments.append(known[ArchiveMark.field(partition)] ?? "0-0")
        }
        var (sum, step) = (0, Step())
        repeat {
            let reply: RedisReply
            do {
                reply = try await RetentionScripts.trim.run(
                    on: client, keys: [keys(topic, partition).events], arguments: arguments,
                    timeout: Consumer.patience)
            } catch { throw FreshetError(error) }
            step = try Step(reply)
            sum += step.trimmed
        } while step.trimmed > 0
        step.trimmed = sum
        return step
    }

    private struct Step {
        var trimmed = 0
        var heldBackBy: GroupName?

        init() {}

        init(_ reply: RedisReply) throws(FreshetError) {
            guard let parts = reply.array.map(Array.init), parts.count == 2, let trimmed = parts[0].integer,
                let group = parts[1].string
            else { throw FreshetError(RedisError(.unexpectedReply, "a trim of another shape")) }
            self.trimmed = trimmed
            heldBackBy = group.isEmpty ? nil : GroupName(unchecked: group)
        }
    }
}

private enum RetentionScripts {
    /// One step: at most a thousand entries are looked at, and ten thousand cut off.
    ///
    /// KEYS log; ARGV age in milliseconds, count, bytes (-1 is any), and for each declared group its name and start; an archive
    /// that must have the entries stands there as one more group, which was given what is archived. Returns
    /// {how many were cut off, the group that needs what else would be, or ''}.
    ///
    /// What a group needs begins with the oldest entry that it holds, or else with the last one it was given: one more than
    /// needed is kept, which saves counting ids.
    static let trim = RedisScript(
        """
        local key = KEYS[1]
        if redis.call('EXISTS', key) == 0 then return {0, ''} end
        local function parts(id)
          local ms, seq = string.match(id, '^(%d+)-(%d+)$')
          return tonumber(ms), tonumber(seq)
        end
        local function before(a, b)
          local am, as = parts(a)
          local bm, bs = parts(b)
          return am < bm or am == bm and as < bs
        end
        local length, wanted = redis.call('XLEN', key), '0-0'
        local most = tonumber(ARGV[2])
        local bytes = tonumber(ARGV[3])
        if bytes >= 0 and length > 0 then
          local sum, seen = 0, 0
          for _, page in ipairs({redis.call('XRANGE', key, '-', '+', 'COUNT', 20), redis.call('XREVRANGE', key, '+', '-', 'COUNT', 20)}) do
            for _, entry in ipairs(page) do
              seen = seen + 1
              for _, text in ipairs(entry[2]) do sum = sum + #text end
            end
          end
          local fit = math.floor(bytes * seen / math.max(sum, 1))
          if most < 0 or fit < most then most = fit end
        end
        if most >= 0 and length > most then
          local page = redis.call('XRANGE', key, '-', '+', 'COUNT', math.min(length - most, 1000) + 1)
          wanted = page[#page][1]
          -- All of the page is to go.
          if #page <= math.min(length - most, 1000) then wanted = string.format('%.0f-0', parts(wanted) + 1) end
        end
        if tonumber(ARGV[1]) >= 0 then
          local time = redis.call('TIME')
          local oldest = string.format('%.0f-0', math.max(0, time[1] * 1000 + math.floor(time[2] / 1000) - ARGV[1]))
          if before(wanted, oldest) then wanted = oldest end
        end
        local cut, holder, spare, known = wanted, '', 0, {}
        local function keep(group, id, more)
          if before(id, cut) then cut, holder, spare = id, group, more end
        end
        for _, list in ipairs(redis.call('XINFO', 'GROUPS', key)) do
          local group = {}
          for i = 1, #list, 2 do group[list[i]] = list[i + 1] end
          known[group.name] = true
          if group.pending > 0 then keep(group.name, redis.call('XPENDING', key, group.name)[2], 0) end
          keep(group.name, group['last-delivered-id'], 1)
        end
        for i = 4, #ARGV, 2 do
          if not known[ARGV[i]] then keep(ARGV[i], ARGV[i + 1], 1) end
        end
        local trimmed = redis.call('XTRIM', key, 'MINID', '~', cut)
        -- Nodes that are larger than what is looked at.
        if trimmed == 0 and most >= 0 and length - most > 1000 then trimmed = redis.call('XTRIM', key, 'MINID', '=', cut) end
        if holder ~= '' then
          local count = -spare
          for _, entry in ipairs(redis.call('XRANGE', key, cut, '+', 'COUNT', 2)) do
            if before(entry[1], wanted) then count = count + 1 end
          end
          if count <= 0 then holder = '' end
        end
        return {trimmed, holder}
        """)
}
