internal import Hiredis
internal import Logging

/// What the server has given to somebody, and has not come here: without it a key's order would have a gap.
extension Consumer {
    /// Reads, and looks whether an earlier owner has got entries of these streams meanwhile: a process that was frozen
    /// while it waited for new events is given some by the server, long after it has lost the partition. They are taken back,
    /// and belong before what comes after them. When a reply is lost, what it held is asked for before anything else is read.
    func readInOrder(
        _ command: RedisCommand<[(key: String, entries: [StreamEntry])]>, _ streams: [ReadStream],
        on share: Share
    ) async throws(RedisError) -> [(key: String, entries: [StreamEntry])] {
        let epochs = streams.map { tenures[$0.partition].epoch }
        let looks = streams.map { RedisCommand<PendingSummary>.xpending($0.key, group.rawValue) }
        var looking = RedisPipeline()
        for look in looks { looking.append(look) }
        // In the same round trip while events come; when none do, a look now and then is enough.
        let looksAtOnce = clock.now >= states[share.index].nextLook
        var pipeline = RedisPipeline()
        pipeline.append(command)
        if looksAtOnce { pipeline.append(looking) }
        var entries: [String: [StreamEntry]] = [:]
        do throws(RedisError) {
            var replies = try await share.reader.send(pipeline, block: options.block).makeIterator()
            guard let first = replies.next() else { return [] }
            for (key, read) in try command.answer(from: first) { entries[key] = read }
            if entries.isEmpty, !looksAtOnce { return [] }
            if !looksAtOnce { replies = try await share.reader.send(looking).makeIterator() }
            states[share.index].nextLook = entries.isEmpty ? clock.now + options.lease : clock.now
            for (stream, look) in zip(streams, looks) {
                guard let reply = replies.next() else { break }
                for holder in try look.answer(from: reply).consumers.keys where holder != name.rawValue {
                    var (stolen, position) = ([StreamEntry](), StreamID?.some(.zero))
                    while let after = position,
                        let page = try await heldEntries(
                            of: stream, by: holder, after: after, count: Self.page, isCounted: false)
                    {
                        stolen += page.entries
                        position = page.last
                    }
                    entries[stream.key, default: []] += stolen
                    logger.notice(
                        "took back events that an earlier owner of the partition was given",
                        metadata: ["partition": "\(stream.partition)", "count": "\(stolen.count)"])
                }
            }
        } catch {
            for stream in streams { unsure.insert(ObjectIdentifier(stream)) }
            throw error
        }
        return zip(streams, epochs).compactMap { stream, epoch in
            guard tenures[stream.partition].epoch == epoch, let entries = entries[stream.key] else {
                return nil
            }
            return (stream.key, entries.sorted { $0.id < $1.id })
        }
    }

    /// Takes up what the server has given to this consumer in replies that were lost: what it holds behind the last entry that
    /// has come. False when nothing was lost.
    func recoverLost(of share: Share) async throws(RedisError) -> Bool {
        guard
            let stream = share.streams.first(where: {
                unsure.contains(ObjectIdentifier($0)) && tenures[$0.partition].phase == .live
            })
        else { return false }
        let (place, epoch, askedAt) = (
            ObjectIdentifier(stream), tenures[stream.partition].epoch, clock.now
        )
        let page = try await heldEntries(
            of: stream, by: name.rawValue, after: lastRead[place] ?? .zero, count: Self.page, isCounted: false
        )
        guard let page, tenures[stream.partition].epoch == epoch else { return true }
        take(page.entries, of: stream, from: .stream(stream), readAt: askedAt)
        if page.last == nil { unsure.remove(place) }
        return true
    }
}
