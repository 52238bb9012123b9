public import Hiredis

/// Which of a group's dead letters are meant.
public enum DeadLetterSelection: Sendable {
    /// Those that there are when it begins. What becomes one meanwhile is left alone, so that a letter that fails again
    /// is not retried for ever.
    case all
    /// Of those, the ones that the filter includes.
    case matching(DeadLetterFilter)
    /// These.
    case these([DeadLetter])
}

/// Why a group has set events aside.
public enum SetAside: String, Sendable, CaseIterable {
    /// Their attempts were used up, or the policy said so.
    case dead
    /// They could not be read: no events, not of the shape that they should have, or of a newer version than the program knew.
    case invalid
}

extension PartitionKeys {
    /// Where a group's events stand that were set aside so.
    public func setAside(_ kind: SetAside, _ group: GroupName) -> String {
        switch kind {
        case .dead: dead(group)
        case .invalid: invalid(group)
        }
    }
}

extension Broker {
    /// A group's dead letters of a topic, or what was invalid.
    public func deadLetters(of group: GroupName, topic: Topic, _ kind: SetAside = .dead) -> DeadLetters {
        DeadLetters(broker: self, topic: topic, group: group, kind: kind)
    }

    /// How many dead letters a group has of a topic.
    public func deadLetterCount(of group: GroupName, topic: Topic, _ kind: SetAside = .dead)
        async throws(FreshetError) -> Int
    {
        var count = 0
        for partition in 0..<topic.partitions {
            count += try await send(.xlen(keys(topic.name, partition).setAside(kind, group)))
        }
        return count
    }

    /// The dead letters that stand there: one for each partition that has one, none when it is gone.
    public func deadLetters(at id: StreamID, of group: GroupName, topic: Topic, _ kind: SetAside = .dead)
        async throws(FreshetError) -> [DeadLetter]
    {
        var found: [DeadLetter] = []
        for partition in 0..<topic.partitions {
            let key = keys(topic.name, partition).setAside(kind, group)
            for try await entry in entries(of: key, in: id...id) {
                found.append(DeadLetter(entry, partition: partition))
            }
        }
        return found
    }

    /// Has a group see dead letters again, with all attempts anew; returns how many. Each one leaves the dead letters and
    /// joins the redelivery stream in one atomic step, and carries along how often that was done (`freshetretries`).
    ///
    /// - Parameters:
    ///   - kind: the dead letters, or what was invalid, for a program that can read it by now.
    ///   - replay: the replay that brings them back; nil for none.
    ///   - onProgress: called with the count after each batch; false ends it there.
    public func retryDeadLetters(
        _ selection: DeadLetterSelection, of group: GroupName, topic: Topic, _ kind: SetAside = .dead,
        replay: String? = nil, onProgress: (Int) -> Bool = { _ in true }
    ) async throws(FreshetError) -> Int {
        try await take(selection, of: group, topic, kind, DeadLetterScripts.retry, replay ?? "", onProgress)
    }

    /// Deletes dead letters for good; returns how many.
    ///
    /// - Parameters:
    ///   - kind: the dead letters, or what was invalid.
    ///   - onProgress: called with the count after each batch; false ends it there.
    public func discardDeadLetters(
        _ selection: DeadLetterSelection, of group: GroupName, topic: Topic, _ kind: SetAside = .dead,
        onProgress: (Int) -> Bool = { _ in true }
    ) async throws(FreshetError) -> Int {
        try await take(selection, of: group, topic, kind, DeadLetterScripts.discard, "", onProgress)
    }

    /// A batch is so many: the server serves nobody else meanwhile.
    private static let deadLetterBatch = 100

    private func take(
        _ selection: DeadLetterSelection, of group: GroupName, _ topic: Topic, _ kind: SetAside,
        _ script: RedisScript, _ replay: String, _ onProgress: (Int) -> Bool
    ) async throws(FreshetError) -> Int {
        var total = 0
        for partition in 0..<topic.partitions {
            let keys = keys(topic.name, partition)
            let letters = keys.setAside(kind, group)
            func run(_ ranges: [String]) async throws(FreshetError) -> Int {
                let arguments: [any RedisArgument] =
                    [
                        Self.deadLetterBatch, kind.rawValue, replay,
                    ] + ranges
                do {
                    let reply = try await script.run(
                        on: client, keys: [letters, keys.redelivery(group)], arguments: arguments)
                    return reply.integer ?? 0
                } catch { throw FreshetError(error) }
            }
            if case .matching(let filter) = selection {
                guard let last = try await send(.xrevrange(letters, count: 1)).first?.id else {
                    continue
                }
                var batch: [String] = []
                for try await entry in entries(of: letters, in: .zero...last)
                where filter.includes(DeadLetter(entry, partition: partition)) {
                    batch += [entry.id.description, entry.id.description]
                    guard batch.count == 2 * Self.deadLetterBatch else { continue }
                    total += try await run(batch)
                    batch = []
                    guard onProgress(total) else { return total }
                }
                if !batch.isEmpty { total += try await run(batch) }
                guard onProgress(total) else { return total }
                continue
            }
            var batches = try await ranges(selection, partition, letters)
            while let ranges = batches.popLast() {
                let count = try await run(ranges)
                total += count
                // A full batch of everything: there may be more of the same.
                if case .all = selection, count == Self.deadLetterBatch { batches.append(ranges) }
                guard onProgress(total) else { return total }
            }
        }
        return total
    }

    /// Batches of ranges, each range two ids, the last batch first.
    private func ranges(_ selection: DeadLetterSelection, _ partition: Int, _ stream: String)
        async throws(FreshetError) -> [[String]]
    {
        switch selection {
        case .all, .matching:
            return try await send(.xrevrange(stream, count: 1)).map { ["-", $0.id.description] }
        case .these(let letters):
            let ids = letters.filter { $0.partition == partition }.map(\.id.description)
            return stride(from: 0, to: ids.count, by: Self.deadLetterBatch).reversed().map { start in
                ids[start..<min(start + Self.deadLetterBatch, ids.count)].flatMap { [$0, $0] }
            }
        }
    }
}

/// KEYS letters redelivery; ARGV most kind replay [first last]... Each returns how many entries of these ranges it took. One entry is
/// read at a time, so that a hundred large ones are never in Lua's memory together.
///
/// What was invalid has every field as it was, also names of delivery's own that a publisher forged: the last one of a name is
/// delivery's.
private enum DeadLetterScripts {
    static let retry = RedisScript(
        loop(
            """
            local fields, kept, retries, original = entry[2], {}, 0, nil
            for i = 1, #fields, 2 do
              local name = fields[i]
              if name == 'freshetretries' then
                retries = tonumber(fields[i + 1]) or 0
              elseif name == 'freshetoriginalid' then
                original = fields[i + 1]
              elseif string.sub(name, 1, 7) ~= 'freshet' or name == 'freshetpacked'
                  or name == 'freshetreplay' and ARGV[2] == 'dead' and ARGV[3] == '' then
                kept[#kept + 1] = name
                kept[#kept + 1] = fields[i + 1]
              end
            end
            if original then
              kept[#kept + 1] = 'freshetoriginalid'
              kept[#kept + 1] = original
            end
            if ARGV[3] ~= '' then
              kept[#kept + 1] = 'freshetreplay'
              kept[#kept + 1] = ARGV[3]
            end
            kept[#kept + 1] = 'freshetretries'
            kept[#kept + 1] = retries + 1
            redis.call('XADD', KEYS[2], '*', unpack(kept))
            """))

    static let discard = RedisScript(loop(""))

    private static func loop(_ body: String) -> String {
        """
        local taken, most = 0, tonumber(ARGV[1])
        for range = 4, #ARGV, 2 do
          while taken < most do
            local entry = redis.call('XRANGE', KEYS[1], ARGV[range], ARGV[range + 1], 'COUNT', 1)[1]
            if not entry then break end
            \(body)
            redis.call('XDEL', KEYS[1], entry[1])
            taken = taken + 1
          end
        end
        return taken
        """
    }
}
