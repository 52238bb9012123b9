internal import Hiredis
internal import Logging

/// Taking up what a partition's last owner left.
extension Consumer {
    /// One step of taking over a partition of this share; false when none is to be taken over.
    func takeOverNext(of share: Share, room: Int) async throws(RedisError) -> Bool {
        guard
            let partition = share.partitions.first(where: {
                tenures[$0].phase == .takingOver && !schedule.isCongested($0)
            })
        else { return false }
        let (epoch, keys) = (tenures[partition].epoch, broker.keys(topic.name, partition))
        let next: Takeover.Step?
        switch tenures[partition].takeover.step {
        case .delayed(let rank):
            let page = try await blockers(
                LeaseScripts.delayedKeys, keys.delayed(group), [rank, Self.page], of: partition, epoch)
            let looked = page?.integer ?? 0
            next = looked < Self.page ? .due(after: .zero) : .delayed(rank: rank + looked)
        case .due(let last):
            let page = try await blockers(
                LeaseScripts.dueKeys, keys.redelivery(group), [last, Self.page], of: partition, epoch)
            next = page?.streamID.map { .due(after: $0) } ?? .redelivery(after: .zero)
        case .redelivery(let position):
            let last = try await takeUp(
                share.streams.first { $0.partition == partition && $0.isRedelivery }, after: position, room)
            next = last.map { .redelivery(after: $0) } ?? .log(after: .zero)
        case .log(let position):
            let last = try await takeUp(
                share.streams.first { $0.partition == partition && !$0.isRedelivery }, after: position, room)
            next = last.map { .log(after: $0) }
        }
        guard tenures[partition].epoch == epoch, tenures[partition].phase == .takingOver else { return true }
        if let next {
            tenures[partition].takeover.step = next
        } else {
            tenures[partition].phase = .live
            for stream in share.streams where stream.partition == partition {
                unsure.remove(ObjectIdentifier(stream))
            }
            logger.debug("took a partition over", metadata: ["partition": "\(partition)"])
        }
        return true
    }

    /// So many retries are looked at in one step.
    static let page = 500

    /// Has the keys wait whose retries the script finds; returns where it stopped.
    private func blockers(
        _ script: RedisScript, _ key: String, _ arguments: [any RedisArgument], of partition: Int,
        _ epoch: Int
    ) async throws(RedisError) -> RedisReply? {
        let reply = try await script.run(on: broker.client, keys: [key], arguments: arguments)
        guard let parts = reply.array.map(Array.init), parts.count == 2, let found = parts[0].array else {
            throw RedisError(.unexpectedReply, "a list of retries of another shape")
        }
        guard tenures[partition].epoch == epoch, tenures[partition].phase == .takingOver else { return nil }
        var iterator = found.makeIterator()
        while let key = iterator.next()?.string, let position = iterator.next()?.streamID {
            schedule.block(partition: partition, key: key, position: position)
        }
        return parts[1]
    }

    /// Takes up a page of what the last owner held of a stream; returns where to go on, or nil at the end.
    private func takeUp(_ stream: ReadStream?, after position: StreamID, _ room: Int) async throws(RedisError)
        -> StreamID?
    {
        guard let stream else { return nil }
        let askedAt = clock.now
        let count = min(room, states[share(of: stream.partition).index].mostEntries, Self.page)
        guard
            let page = try await heldEntries(
                of: stream, after: position, count: count,
                isCounted: tenures[stream.partition].takeover.isAfterCrash)
        else { return nil }
        try await take(Array(zip(page.entries, page.deliveries)), of: stream, askedAt: askedAt)
        return page.last
    }

    /// Entries that others held, and that are ours now.
    struct TakenUp {
        let entries: [StreamEntry]
        let deliveries: [Int]
        /// Behind it there may be more; nil at the end.
        let last: StreamID?
    }

    /// A page of what others hold of a stream behind a position, or one of them, as our own; nil when the partition is lost.
    /// Through the connection that reads, because a read that was given up may still run, and what it brings is to be seen.
    func heldEntries(
        of stream: ReadStream, by holder: String? = nil, after position: StreamID, count: Int, isCounted: Bool
    ) async throws(RedisError) -> TakenUp? {
        let who: [any RedisArgument] = [group.rawValue, name.rawValue, tenures[stream.partition].epoch]
        let reply = try await LeaseScripts.takeUp.run(
            on: share(of: stream.partition).reader,
            keys: [stream.key, broker.keys(topic.name, stream.partition).lease(group)],
            arguments: who + [position, count, isCounted ? 1 : 0] + (holder.map { [$0] } ?? []))
        guard let parts = reply.array.map(Array.init), parts.count == 4,
            let entries = parts[0].list({ StreamEntry($0) }),
            let deliveries = parts[1].array?.map({ $0.integer ?? 0 }), deliveries.count == entries.count,
            let gone = parts[2].array?.compactMap(\.streamID)
        else {
            lose(stream.partition)
            return nil
        }
        report(deleted: gone)
        counters.add(.reclaimed, entries.count)
        return TakenUp(entries: entries, deliveries: deliveries, last: parts[3].streamID)
    }
}
