internal import Hiredis
internal import Logging

/// A comparison, under way, of what the server holds for this consumer of a partition with what is in hand.
struct Comparison {
    /// As for a takeover: retries first, then what is pending.
    var step = Takeover.Step.delayed(rank: 0)
    /// After so many pages it goes on a lease later.
    var pagesLeft = Self.pages
    /// The waits for retries that were not found yet, by the position of the event.
    var missing: [StreamID: (key: String, number: Int)]

    static let pages = 20
}

/// Once a lease what the server holds for this consumer is compared with what is in hand. They differ when a
/// server came back without its last writes, a settlement was given up, or entries were deleted: then entries
/// are pending that nobody would handle, or keys wait for retries that exist nowhere.
extension Consumer {
    /// A comparison of the partition begins, unless there is nothing to compare.
    ///
    /// - Parameter pending: how many entries of the stream the server holds for this consumer.
    func beginComparing(_ stream: ReadStream, pending: Int) {
        let partition = stream.partition
        guard tenures[partition].phase == .live else { return }
        if tenures[partition].comparison != nil {
            tenures[partition].comparison?.pagesLeft = Comparison.pages
        } else if pending > 0 || heldCounts[partition] > 0 || schedule.hasBehind(partition) {
            tenures[partition].comparison = Comparison(missing: schedule.blockers(of: partition))
        }
    }

    /// One step of a comparison of this share; false when none is under way.
    func compareNext(of share: Share) async throws(RedisError) -> Bool {
        let next = share.partitions.first {
            tenures[$0].phase == .live && (tenures[$0].comparison?.pagesLeft ?? 0) > 0
        }
        guard let partition = next, var comparison = tenures[partition].comparison else { return false }
        let epoch = tenures[partition].epoch
        tenures[partition].settledMeanwhile = tenures[partition].settledMeanwhile ?? SettledEntries()
        let step = try await compare(&comparison, partition, of: share)
        guard tenures[partition].phase == .live, tenures[partition].epoch == epoch else { return true }
        comparison.pagesLeft -= 1
        if let step {
            comparison.step = step
            tenures[partition].comparison = comparison
        } else {
            tenures[partition].comparison = nil
        }
        if step == nil || comparison.pagesLeft == 0 { tenures[partition].settledMeanwhile = nil }
        return true
    }

    /// The next step; nil when the comparison is over.
    private func compare(_ comparison: inout Comparison, _ partition: Int, of share: Share)
        async throws(RedisError) -> Takeover.Step?
    {
        switch comparison.step {
        case .delayed(let rank):
            if comparison.missing.isEmpty {
                tenures[partition].missingBefore = [:]
                return .redelivery(after: .zero)
            }
            let page = try await retries(delayedFrom: rank, of: partition)
            for retry in page.retries { comparison.missing[retry.position] = nil }
            let isLast = page.looked < options.limits.page
            return isLast ? .due(after: .zero) : .delayed(rank: rank + page.looked)
        case .due(let last):
            let page = try await retries(dueAfter: last, of: partition)
            for retry in page.retries { comparison.missing[retry.position] = nil }
            if let last = page.last { return .due(after: last) }
            goOn(withoutMissing: comparison.missing, partition)
            return .redelivery(after: .zero)
        case .redelivery(let after):
            let stream = share.streams.first { $0.partition == partition && $0.isRedelivery }
            return try await compare(stream, after).map { .redelivery(after: $0) } ?? .log(after: .zero)
        case .log(let after):
            let stream = share.streams.first { $0.partition == partition && !$0.isRedelivery }
            return try await compare(stream, after).map { .log(after: $0) }
        }
    }

    /// Keys that wait for retries which two comparisons did not find go on. Once is not enough: a retry can
    /// move while the pages are read.
    private func goOn(withoutMissing missing: [StreamID: (key: String, number: Int)], _ partition: Int) {
        let before = tenures[partition].missingBefore
        tenures[partition].missingBefore = missing.mapValues(\.number)
        let inHand = Set(held.all.filter { $0.stream.partition == partition }.map(\.logPosition))
        for (position, wait) in missing where before[position] == wait.number && !inHand.contains(position) {
            guard
                schedule.isBlocked(
                    partition: partition, key: wait.key, by: position, number: wait.number)
            else { continue }
            logger.warning(
                "a retry exists nowhere, its key goes on without it", metadata: ["entry": "\(position)"])
            counters.add(.lost)
            goOn(without: position, of: wait.key, partition)
        }
    }

    /// Looks for entries of a page that are not in hand; returns where to go on, or nil at the end, also when
    /// there are some.
    private func compare(_ stream: ReadStream?, _ after: StreamID) async throws(RedisError) -> StreamID? {
        guard let stream else { return nil }
        let page = try await pendingPage(
            of: stream, from: "(\(after)", on: share(of: stream.partition).reader)
        let tenure = tenures[stream.partition]
        guard tenure.phase == .live else { return nil }
        let inHand = held.byID(of: stream)
        let unknown = page.entries.filter { id, key in
            if inHand[id] != nil || tenure.settledMeanwhile?[stream.isRedelivery].contains(id) == true {
                return false
            }
            guard let key, id <= tenure.newest[stream.isRedelivery] else { return true }
            return !schedule.hasDeferred(id, of: stream, key: key)
        }
        guard let first = unknown.first else { return page.last }
        logger.notice(
            "the server holds events for this consumer that it did not know of, taking them up",
            metadata: [
                "partition": "\(stream.partition)", "count": "\(unknown.count)", "first": "\(first.id)",
            ])
        tenures[stream.partition].needsRestart = true
        return page.last
    }
}
