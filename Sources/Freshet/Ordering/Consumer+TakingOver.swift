internal import Hiredis
internal import Logging

/// Taking up what is pending of a partition: what its last owner left, or, after a lost connection, what the
/// server holds for this consumer.
extension Consumer {
    // MARK: - Beginning anew

    /// Takes up anew what is pending of a share's partitions: a reply may be lost, and the server may have
    /// come back without its last writes, so that entries are pending, waiting or given out that this process
    /// knows otherwise. To be called by the task that reads.
    func restartTakeovers(of share: Share, onlyWanted: Bool = false) {
        guard isOrdered else { return }
        for partition in share.partitions where !onlyWanted || tenures[partition].needsRestart {
            restartTakeover(of: partition)
        }
    }

    /// Nothing of the partition starts until what is pending was gone through from the beginning; what runs
    /// goes on.
    private func restartTakeover(of partition: Int) {
        guard [.live, .takingOver].contains(tenures[partition].phase) else { return }
        for entry in lanes.takeGathered(of: partition) { forget(entry) }
        let begun = held.all.filter { $0.stream.partition == partition && $0.stage != .waiting }
        for entry in schedule.restart(partition, keeping: begun) { forget(entry) }
        tenures[partition].phase = .takingOver
        tenures[partition].takeover = Takeover()
        tenures[partition].comparison = nil
        tenures[partition].settledMeanwhile = SettledEntries()
        tenures[partition].newest = NewestEntries()
        tenures[partition].needsRestart = false
    }

    // MARK: - Steps

    /// One step of taking over a partition of this share; false when none is to be taken over.
    func takeOverNext(of share: Share, room: Int) async throws(RedisError) -> Bool {
        guard let partition = share.partitions.first(where: { tenures[$0].phase == .takingOver }) else {
            return false
        }
        let epoch = tenures[partition].epoch
        let next: Takeover.Step?
        do throws(RedisError) { next = try await takeOver(partition, of: share, room) } catch {
            tenures[partition].takeover.isRepeated = true
            throw error
        }
        guard isTakingOver(partition, since: epoch) else { return true }
        tenures[partition].takeover.isRepeated = false
        if let next {
            tenures[partition].takeover.step = next
        } else {
            tenures[partition].phase = .live
            tenures[partition].settledMeanwhile = nil
            logger.debug("took a partition over", metadata: ["partition": "\(partition)"])
        }
        return true
    }

    /// Whether it is still the same takeover, and goes on.
    private func isTakingOver(_ partition: Int, since epoch: Int) -> Bool {
        let tenure = tenures[partition]
        return tenure.epoch == epoch && tenure.phase == .takingOver && !tenure.needsRestart
    }

    /// The next step; nil when this was the last one.
    private func takeOver(_ partition: Int, of share: Share, _ room: Int) async throws(RedisError)
        -> Takeover.Step?
    {
        switch tenures[partition].takeover.step {
        case .delayed(let rank):
            let page = try await retries(delayedFrom: rank, of: partition)
            block(page.retries, of: partition)
            let isLast = page.looked < options.limits.page
            return isLast ? .due(after: .zero) : .delayed(rank: rank + page.looked)
        case .due(let last):
            let page = try await retries(dueAfter: last, of: partition)
            block(page.retries, of: partition)
            return page.last.map { .due(after: $0) } ?? .redelivery(after: .zero)
        case .redelivery(let position):
            let last = try await takeUp(
                share.streams.first { $0.partition == partition && $0.isRedelivery }, after: position, room)
            return last.map { .redelivery(after: $0) } ?? .log(after: .zero)
        case .log(let position):
            let last = try await takeUp(
                share.streams.first { $0.partition == partition && !$0.isRedelivery }, after: position, room)
            return last.map { .log(after: $0) }
        }
    }

    // MARK: - Retries

    /// A retry at the server: the key that waits for it, the position in the log of its event, and its place
    /// in the redelivery stream when it is due.
    struct FoundRetry {
        let key: String
        let position: StreamID
        let id: StreamID?
    }

    /// Retries that are put off, from a rank on, from the last one.
    func retries(delayedFrom rank: Int, of partition: Int) async throws(RedisError) -> (
        retries: [FoundRetry], looked: Int
    ) {
        let keys = broker.keys(topic.name, partition)
        let (found, looked) = try await retries(LeaseScripts.delayedKeys, keys.delayed(group), rank)
        return (found, looked.integer ?? 0)
    }

    /// Retries in the redelivery stream behind an id, and the last id that was looked at; nil at the end.
    func retries(dueAfter last: StreamID, of partition: Int) async throws(RedisError) -> (
        retries: [FoundRetry], last: StreamID?
    ) {
        let keys = broker.keys(topic.name, partition)
        let (found, end) = try await retries(LeaseScripts.dueKeys, keys.redelivery(group), last)
        return (found, end.streamID)
    }

    private func retries(_ script: RedisScript, _ key: String, _ start: any RedisArgument)
        async throws(RedisError) -> ([FoundRetry], RedisReply)
    {
        let reply = try await script.run(
            on: broker.client, keys: [key], arguments: [start, options.limits.page])
        guard let parts = reply.array.map(Array.init), parts.count == 2, let found = parts[0].array else {
            throw RedisError(.unexpectedReply, "unexpected reply format of a list of retries")
        }
        var retries: [FoundRetry] = []
        var iterator = found.makeIterator()
        while let key = iterator.next()?.string, let position = iterator.next()?.streamID,
            let id = iterator.next()
        {
            retries.append(.init(key: key, position: position, id: id.streamID))
        }
        return (retries, parts[1])
    }

    /// Has the keys wait for these retries, unless they are in hand: then they are no longer waited for.
    private func block(_ retries: [FoundRetry], of partition: Int) {
        guard tenures[partition].phase == .takingOver, !retries.isEmpty else { return }
        let inHand = Set(
            held.all.filter { $0.stream.partition == partition && $0.stream.isRedelivery }.map(\.id))
        for retry in retries {
            if let id = retry.id,
                inHand.contains(id) || tenures[partition].settledMeanwhile?[true].contains(id) == true
            {
                continue
            }
            schedule.block(partition: partition, key: retry.key, position: retry.position)
        }
    }

    // MARK: - Pending entries

    /// Takes up a page of what is pending of a stream; returns where to go on, or nil at the end.
    private func takeUp(_ stream: ReadStream?, after position: StreamID, _ room: Int) async throws(RedisError)
        -> StreamID?
    {
        guard let stream else { return nil }
        let (askedAt, takeover) = (clock.now, tenures[stream.partition].takeover)
        let epoch = tenures[stream.partition].epoch
        let count = min(room, states[share(of: stream.partition).index].mostEntries, options.limits.page)
        guard
            let page = try await heldEntries(
                of: stream, after: position, count: count,
                isCounted: takeover.isAfterCrash && !takeover.isRepeated)
        else { return nil }
        // Of a takeover that has begun anew meanwhile the page is too old: the blocked and busy keys it
        // relied on are forgotten.
        guard isTakingOver(stream.partition, since: epoch) else { return nil }
        let inHand = held.byID(of: stream)
        let settled = tenures[stream.partition].settledMeanwhile?[stream.isRedelivery] ?? []
        let entries = zip(page.entries, page.deliveries).filter { entry, _ in
            inHand[entry.id] == nil && !settled.contains(entry.id)
        }
        try await take(Array(entries), of: stream, askedAt: askedAt)
        return page.last
    }

    /// Entries that are ours now.
    struct TakenUp {
        let entries: [StreamEntry]
        let deliveries: [Int]
        /// Behind it there may be more; nil at the end.
        let last: StreamID?
    }

    /// A page of what consumers hold of a stream behind a position, or one of them, as our own; nil when the
    /// partition is lost. Through the connection that reads, because a read that was given up may still run,
    /// and what it brings is to be seen.
    func heldEntries(
        of stream: ReadStream, by holder: String? = nil, after position: StreamID, count: Int, isCounted: Bool
    ) async throws(RedisError) -> TakenUp? {
        let epoch = tenures[stream.partition].epoch
        let who: [any RedisArgument] = [group.rawValue, name.rawValue, epoch]
        let reply = try await LeaseScripts.takeUp.run(
            on: share(of: stream.partition).reader,
            keys: [stream.key, broker.keys(topic.name, stream.partition).lease(group)],
            arguments: who + [position, count, isCounted ? 1 : 0] + (holder.map { [$0] } ?? []))
        guard let parts = reply.array.map(Array.init), parts.count == 5,
            let entries = parts[0].list({ StreamEntry($0) }),
            let deliveries = parts[1].array?.map({ $0.integer ?? 0 }), deliveries.count == entries.count,
            let gone = parts[2].array?.compactMap(\.streamID), let own = parts[4].integer
        else {
            if tenures[stream.partition].epoch == epoch { lose(stream.partition) }
            return nil
        }
        report(deleted: gone)
        counters.add(.reclaimed, entries.count - own)
        counters.add(.recovered, own)
        return TakenUp(entries: entries, deliveries: deliveries, last: parts[3].streamID)
    }
}
