internal import Hiredis
internal import Logging

/// What a consumer does beside reading: renews its claims, takes over those of the dead, and brings retries back when
/// their time has come.
extension Consumer {
    func keepUp(_ share: Share) async {
        var nextRenewal = ContinuousClock.now + options.lease / 3
        // A little at random, so that the consumers of a group do not all look at once.
        var nextReclaim = ContinuousClock.now + options.lease / 10 * Int.random(in: 1...5)
        while !Task.isCancelled && !isFinished {
            let now = ContinuousClock.now
            if now >= nextRenewal {
                await renew(share)
                nextRenewal = ContinuousClock.now + options.lease / 3
            }
            if now >= states[share.index].nextPromotion { await promoteDue(share) }
            if now >= nextReclaim, !isDraining {
                await reclaim(share)
                nextReclaim = ContinuousClock.now + options.lease / 2
            }
            if isDraining && !hasStoppedReading { await wakeReader(of: share) }
            // Until the reader has stopped: it may have been between two reads when it was woken.
            let next = min(nextRenewal, nextReclaim, states[share.index].nextPromotion)
            let longest = isDraining && !hasStoppedReading ? .milliseconds(20) : next - ContinuousClock.now
            await share.upkeepAlarm.wait(for: max(.milliseconds(1), longest))
        }
    }

    // MARK: - Renewing

    private func renew(_ share: Share) async {
        let places = Dictionary(
            grouping: held.keys.lazy.filter { self.share(of: $0.stream).index == share.index }, by: \.stream)
        for (stream, places) in places {
            for start in stride(from: 0, to: places.count, by: 500) {
                await renew(places[start..<min(start + 500, places.count)], of: stream)
            }
        }
    }

    private func renew(_ places: ArraySlice<Entry.Place>, of stream: ReadStream) async {
        let askedAt = ContinuousClock.now
        let who: [any RedisArgument] = [group.rawValue, name.rawValue]
        do throws(RedisError) {
            let reply = try await Scripts.renew.run(
                on: broker.client, keys: [stream.key], arguments: who + places.map(\.id))
            let lost = Set(reply.array?.compactMap(\.streamID) ?? [])
            for place in places where held[place] != nil && !lost.contains(place.id) {
                held[place]?.claimedUntil = askedAt + options.lease
            }
        } catch {
            // Without a renewal the claim runs out by itself, and settling checks it.
            logger.debug("cannot renew claims", metadata: ["reason": "\(error)"])
        }
    }

    // MARK: - Reclaiming

    /// Takes what other consumers have not renewed for a lease. The cursor of each stream is carried on from pass to
    /// pass, so that a long list of pending entries is seen whole.
    private func reclaim(_ share: Share) async {
        for stream in share.streams {
            var isFirst = true
            while held.count < options.concurrency, isFirst || cursors[stream] != nil {
                isFirst = false
                do throws(RedisError) {
                    try await reclaim(from: stream)
                } catch {
                    if error.code == .replyTooLarge, askForLess(share) { continue }
                    logger.debug("cannot reclaim", metadata: ["reason": "\(error)"])
                    break
                }
            }
        }
    }

    private func reclaim(from stream: ReadStream) async throws(RedisError) {
        let askedAt = ContinuousClock.now
        let claimed = try await broker.client.send(
            .xautoclaim(
                stream.key, group.rawValue, name.rawValue, idle: options.lease,
                from: cursors[stream] ?? .zero,
                count: min(options.concurrency - held.count, states[share(of: stream).index].mostEntries)))
        cursors[stream] = claimed.next
        if !claimed.deleted.isEmpty {
            counters.add(.lost, claimed.deleted.count)
            logger.error(
                "events were deleted before they were handled",
                metadata: ["count": "\(claimed.deleted.count)"])
        }
        let entries = claimed.entries.map { Entry($0, in: stream) }.filter { held[$0.place] == nil }
        let ids = entries.map(\.place.id)
        guard let first = ids.min(), let last = ids.max() else { return }
        counters.add(.reclaimed, entries.count)
        logger.notice("took over events of a silent consumer", metadata: ["count": "\(entries.count)"])
        let deliveries = try await deliveryCounts(
            first...last, of: stream, claimed.entries.count)
        var usable: [Entry] = []
        for entry in entries {
            let count = deliveries[entry.place.id] ?? 0
            if count > options.maximumDeliveries {
                held[entry.place] = Held(claimedUntil: askedAt + options.lease)
                let reason = "delivered \(count - 1) times and never settled: the process may die of it"
                logger.error("dead letter", metadata: ["entry": "\(entry.place.id)", "reason": "\(reason)"])
                finish(entry.place, .dead(failedAttempts: 0, reason: reason))
            } else {
                usable.append(entry)
            }
        }
        if hasStoppedReading {
            // Nobody takes them up any more: a shutdown began while the server was asked.
            for entry in usable {
                held[entry.place] = Held(claimedUntil: askedAt + options.lease)
                finish(entry.place, .released)
            }
        } else {
            take(usable, readAt: askedAt)
        }
    }

    private func deliveryCounts(
        _ range: ClosedRange<StreamID>, of stream: ReadStream, _ count: Int
    ) async throws(RedisError) -> [StreamID: Int] {
        let pending = try await broker.client.send(
            .xpending(stream.key, group.rawValue, range, count: count + held.count, of: name.rawValue))
        return Dictionary(pending.map { ($0.id, $0.deliveries) }, uniquingKeysWith: max)
    }

    // MARK: - Retries

    /// A retry was put off for so long by this very process: look then.
    func promote(_ share: Share, in pause: Duration) {
        let due = ContinuousClock.now + pause
        states[share.index].nextPromotion = min(states[share.index].nextPromotion, due)
        share.upkeepAlarm.ring()
    }

    /// Moves what is due to the redelivery stream, which wakes a blocked reader. Every consumer looks; the script is
    /// atomic. Without known retries one look in a few seconds is enough: who schedules one knows its time.
    private func promoteDue(_ share: Share) async {
        states[share.index].nextPromotion = ContinuousClock.now + .seconds(3)
        for partition in Set(share.streams.map(\.partition)).sorted() {
            let keys = broker.keys(topic.name, partition)
            let reply = try? await Scripts.promote.run(
                on: broker.client, keys: [keys.delayed(group), keys.redelivery(group)], arguments: [256])
            guard let parts = reply?.array, parts.count == 2, let next = parts[1].integer, next >= 0 else {
                continue
            }
            let due = ContinuousClock.now + .milliseconds(max(1, next))
            states[share.index].nextPromotion = min(states[share.index].nextPromotion, due)
        }
    }
}
