package import Hiredis

/// Adding what may be there already, and only up to a topic's limit.
extension Publisher {
    /// Adds events of which nobody knows whether they arrived, for as long as there is patience: those that stand behind
    /// the newest entry known before are there, the others are added, in order.
    ///
    /// The events cost nothing before something went wrong. First the broken connection is ended at the server, so that what
    /// it has not read yet does not come later.
    ///
    /// An event that is missing though a later one of its partition is there was refused before the
    /// connection broke. It is not added behind that one: its outcome is an error.
    ///
    /// - Parameter bounds: of each partition an entry that stands before what may have arrived.
    package func addMissing(
        _ events: [Event], _ partitions: [Int], behind bounds: [StreamID], upTo limit: Int?,
        _ durability: Durability,
        after cause: RedisError, on client: RedisClient
    ) async throws(FreshetError) -> [Result<StreamID, FreshetError>] {
        let deadline = ContinuousClock.now + options.patience
        var (pause, last) = (Duration.milliseconds(20), cause)
        var results = [Result<StreamID, FreshetError>?](repeating: nil, count: events.count)
        for partition in Set(partitions).sorted() {
            let members = events.indices.filter { partitions[$0] == partition }
            let own = members.map { events[$0] }
            while results[members[0]] == nil {
                do throws(RedisError) {
                    let outcomes = try await addMissing(
                        own, in: partition, behind: bounds[partition], upTo: limit, on: client
                    )
                    .lacking(await confirm(durability, partition, on: client))
                    for (index, outcome) in zip(members, outcomes) { results[index] = outcome }
                } catch {
                    guard error.mayHaveRun || error.isRetryable else { throw FreshetError(error) }
                    last = error.mayHaveRun ? error : last
                    guard .now < deadline, !Task.isCancelled else { throw FreshetError(last) }
                    try? await Task.sleep(for: pause)
                    pause = min(pause * 2, .seconds(1))
                }
            }
        }
        return results.compactMap { $0 }
    }

    private func addMissing(
        _ events: [Event], in partition: Int, behind bound: StreamID, upTo limit: Int?, on client: RedisClient
    ) async throws(RedisError) -> [Result<StreamID, FreshetError>] {
        let log = broker.keys(topic.name, partition).events
        let wanted = Dictionary(grouping: events.indices) { Name(events[$0].source, events[$0].id) }
        try await client.endLostConnections(forKey: log)
        var found: [Int: StreamID] = [:]
        // Page by page here, so that the script has only the newest to look at.
        var after = bound
        while let start = after.successor {
            let page = try await client.send(.xrange(log, start ... .newest, count: 200))
            for entry in page {
                let name = Name(entry.field("source")?.string ?? "", entry.field("id")?.string ?? "")
                for index in wanted[name] ?? [] where found[index] == nil { found[index] = entry.id }
            }
            guard let last = page.last?.id else { break }
            after = last
            if page.count < 200 { break }
        }
        let last = found.keys.max() ?? -1
        let missing = events.indices.filter { $0 > last }
        let added = try await add(
            missing.map { events[$0] }, in: partition, upTo: limit, .memory, after: after, on: client)
        var results = events.indices.map { found[$0].map { Result<StreamID, FreshetError>.success($0) } }
        for (index, result) in zip(missing, added) { results[index] = result }
        return results.map {
            $0
                ?? .failure(
                    FreshetError(
                        .refused, "the event was refused, and later ones of its partition were added"))
        }
    }

    private struct Name: Hashable {
        let source, id: String
        init(_ source: String, _ id: String) { (self.source, self.id) = (source, id) }
    }

    /// Adds those of the events that do not stand behind this position, while the log holds fewer than the limit.
    func add(
        _ events: [Event], in partition: Int, upTo limit: Int?, _ durability: Durability,
        after position: StreamID?,
        on client: RedisClient
    ) async throws(RedisError) -> [Result<StreamID, FreshetError>] {
        var results: [Result<StreamID, FreshetError>] = []
        for start in stride(from: 0, to: events.count, by: 200) {
            let batch = events[start..<min(start + 200, events.count)]
            // Room that comes about between two batches is not for the events behind one that found none.
            if case .failure(let error)? = results.last, error.code == .full {
                results += batch.map { _ in .failure(error) }
                continue
            }
            let replies = try await PublishingScripts.add.run(
                on: client, keys: [broker.keys(topic.name, partition).events],
                argumentCount: batch.reduce(2) { $0 + 3 + $1.argumentCount },
                following: durability.confirmation, block: durability.limit
            ) { command in
                (limit ?? -1).write(to: &command)
                (position?.description ?? "").write(to: &command)
                for event in batch {
                    command.append(event.source)
                    command.append(event.id)
                    event.argumentCount.write(to: &command)
                    event.write(to: &command)
                }
            }
            let added = (replies[0].array.map(Array.init) ?? []).map { id in
                id.streamID.map { Result<StreamID, FreshetError>.success($0) }
                    ?? .failure(full(partition, limit ?? 0))
            }
            results += added.lacking(durability.shortfall(replies))
        }
        guard results.count == events.count else {
            throw RedisError(.unexpectedReply, "an addition of another shape")
        }
        return results
    }
}

enum PublishingScripts {
    /// KEYS log; ARGV limit (-1 is none) position ('' looks for nothing), and for each event source, id, how many arguments
    /// follow, these. Returns where each stands, '' when the log is full.
    static let add = RedisScript(
        """
        local there = {}
        if ARGV[2] ~= '' then
          local last = ARGV[2]
          repeat
            local page = redis.call('XRANGE', KEYS[1], '(' .. last, '+', 'COUNT', 200)
            for _, entry in ipairs(page) do
              local source, id = '', ''
              for i = 1, #entry[2], 2 do
                if entry[2][i] == 'source' then source = entry[2][i + 1] end
                if entry[2][i] == 'id' then id = entry[2][i + 1] end
              end
              there[#source .. ' ' .. source .. id] = entry[1]
              last = entry[1]
            end
          until #page < 200
        end
        local limit, length = tonumber(ARGV[1]), 0
        if limit >= 0 then length = redis.call('XLEN', KEYS[1]) end
        local result, i = {}, 3
        while i <= #ARGV do
          local count = tonumber(ARGV[i + 2])
          local name = #ARGV[i] .. ' ' .. ARGV[i] .. ARGV[i + 1]
          if there[name] then
            result[#result + 1] = there[name]
          elseif limit >= 0 and length >= limit then
            result[#result + 1] = ''
          else
            result[#result + 1] = redis.call('XADD', KEYS[1], '*', unpack(ARGV, i + 3, i + 2 + count))
            length = length + 1
          end
          i = i + 3 + count
        end
        return result
        """)

    /// KEYS scheduled; ARGV for each event when it is due, how many arguments follow, these. The same event for the same time
    /// is there once.
    static let schedule = RedisScript(
        """
        local i = 1
        while i <= #ARGV do
          local count = tonumber(ARGV[i + 1])
          local fields = {}
          for k = i + 2, i + 1 + count do fields[#fields + 1] = ARGV[k] end
          redis.call('ZADD', KEYS[1], 'NX', ARGV[i], '- ' .. cmsgpack.pack(fields))
          i = i + 2 + count
        end
        """)
}
