internal import Hiredis
internal import Logging

/// What the server has given to others, and belongs to a partition's owner: without it a key's order would
/// have a gap.
extension Consumer {
    /// Reads, and looks whether an earlier owner has got entries of these streams meanwhile: a process that was frozen
    /// while it waited for new events is given some by the server, long after it has lost the partition. They are taken back,
    /// and belong before what comes after them. The same look shows what this consumer holds, and once a
    /// lease that is compared with what is in hand.
    ///
    /// - Parameter block: how long the server waits for new entries; nil not at all.
    func readInOrder(_ streams: [ReadStream], count: Int, block: Duration?, on share: Share)
        async throws(RedisError) -> [(key: String, entries: [StreamEntry])]
    {
        let command = RedisCommand.xreadgroup(
            group.rawValue, name.rawValue, streams.map(\.key), count: count, block: block)
        let epochs = streams.map { tenures[$0.partition].epoch }
        let looks = streams.map { RedisCommand<PendingSummary>.xpending($0.key, group.rawValue) }
        var looking = RedisPipeline()
        for look in looks { looking.append(look) }
        // In the same round trip while events come; when none do, a look now and then is enough.
        let comparesNow = clock.now >= states[share.index].nextComparison
        let looksAtOnce = comparesNow || clock.now >= states[share.index].nextLook
        var pipeline = RedisPipeline()
        pipeline.append(command)
        if looksAtOnce { pipeline.append(looking) }
        var entries: [String: [StreamEntry]] = [:]
        var replies = try await share.reader.send(pipeline, block: block ?? .zero).makeIterator()
        guard let first = replies.next() else { return [] }
        let connection = share.reader.connectionNumber
        defer { states[share.index].connection = connection }
        if let last = states[share.index].connection, last != connection {
            // The one before broke while nothing was read. What came now is pending, and among what is taken
            // up.
            restartTakeovers(of: share)
            return []
        }
        for (key, read) in try command.answer(from: first) { entries[key] = read }
        if entries.isEmpty, !looksAtOnce { return [] }
        if !looksAtOnce { replies = try await share.reader.send(looking).makeIterator() }
        states[share.index].nextLook = entries.isEmpty ? clock.now + options.lease : clock.now
        if comparesNow { states[share.index].nextComparison = clock.now + options.lease }
        for (stream, look) in zip(streams, looks) {
            guard let reply = replies.next() else { break }
            let holders = try look.answer(from: reply).consumers
            for holder in holders.keys where holder != name.rawValue {
                entries[stream.key, default: []] += try await takeBack(stream, from: holder)
            }
            if comparesNow { beginComparing(stream, pending: holders[name.rawValue] ?? 0) }
        }
        return zip(streams, epochs).compactMap { stream, epoch in
            guard tenures[stream.partition].epoch == epoch, let entries = entries[stream.key] else {
                return nil
            }
            return (stream.key, entries.sorted { $0.id < $1.id })
        }
    }

    private func takeBack(_ stream: ReadStream, from holder: String) async throws(RedisError) -> [StreamEntry]
    {
        var (taken, position) = ([StreamEntry](), StreamID?.some(.zero))
        while let after = position,
            let page = try await heldEntries(
                of: stream, by: holder, after: after, count: options.limits.page, isCounted: false)
        {
            taken += page.entries
            position = page.last
        }
        logger.notice(
            "took back events that an earlier owner of the partition was given",
            metadata: ["partition": "\(stream.partition)", "count": "\(taken.count)"])
        return taken
    }
}
