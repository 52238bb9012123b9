internal import Hiredis
internal import Logging

/// What a consumer does beside reading: renews its claims, takes over those of the dead, and brings retries back when
/// their time has come.
extension Consumer {
    func keepUp() async {
        var nextRenewal = ContinuousClock.now + options.lease / 3
        // A little at random, so that the consumers of a group do not all look at once.
        var nextReclaim = ContinuousClock.now + options.lease / 10 * Int.random(in: 1...5)
        while !Task.isCancelled && !isFinished {
            let now = ContinuousClock.now
            if now >= nextRenewal {
                await renew()
                nextRenewal = ContinuousClock.now + options.lease / 3
            }
            if now >= nextPromotion { await promoteDue() }
            if now >= nextReclaim, !isDraining {
                await reclaim()
                nextReclaim = ContinuousClock.now + options.lease / 2
            }
            if isDraining && !hasStoppedReading { await wakeReaders() }
            // Until the reader has stopped: it may have been between two reads when it was woken.
            let next = min(nextRenewal, nextReclaim, nextPromotion)
            let longest = isDraining && !hasStoppedReading ? .milliseconds(20) : next - ContinuousClock.now
            await upkeepAlarm.wait(for: max(.milliseconds(1), longest))
        }
    }

    // MARK: - Renewing

    private func renew() async {
        let places = Dictionary(grouping: held.keys, by: \.stream)
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
                on: broker.client, keys: [stream.key], arguments: who + places.map { $0.id.description })
            let lost = Set(reply.array?.compactMap { $0.string.flatMap { StreamID($0) } } ?? [])
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
    private func reclaim() async {
        for stream in streams {
            var isFirst = true
            while held.count < options.concurrency, isFirst || cursors[stream] != nil {
                isFirst = false
                do throws(RedisError) {
                    try await reclaim(from: stream)
                } catch {
                    logger.debug("cannot reclaim", metadata: ["reason": "\(error)"])
                    break
                }
            }
        }
    }

    private func reclaim(from stream: ReadStream) async throws(RedisError) {
        let askedAt = ContinuousClock.now
        let reply = try await broker.client.send(
            RedisCommand(
                "XAUTOCLAIM", stream.key, group.rawValue, name.rawValue, Int(options.lease.inMilliseconds),
                cursors[stream] ?? "0-0", "COUNT", max(1, options.concurrency - held.count)))
        guard let parts = reply.array, parts.count >= 2, let claimed = parts[1].array else { return }
        let next = parts[0].string
        cursors[stream] = next == "0-0" ? nil : next
        if parts.count > 2, let deleted = parts[2].array, deleted.count > 0 {
            counters.add(.lost, deleted.count)
            logger.error(
                "events were deleted before they were handled", metadata: ["count": "\(deleted.count)"])
        }
        let entries = Entry.list(claimed, in: stream).filter { held[$0.place] == nil }
        guard let first = entries.first, let last = entries.last else { return }
        counters.add(.reclaimed, entries.count)
        logger.notice("took over events of a silent consumer", metadata: ["count": "\(entries.count)"])
        let deliveries = try await deliveryCounts(
            from: first.place.id, to: last.place.id, of: stream, claimed.count)
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
        from first: StreamID, to last: StreamID, of stream: ReadStream, _ count: Int
    ) async throws(RedisError) -> [StreamID: Int] {
        let reply = try await broker.client.send(
            RedisCommand(
                "XPENDING", stream.key, group.rawValue, first.description, last.description,
                count + held.count,
                name.rawValue))
        var counts: [StreamID: Int] = [:]
        for entry in reply.array.map(Array.init) ?? [] {
            guard let parts = entry.array, parts.count == 4,
                let id = parts[0].string.flatMap({ StreamID($0) })
            else { continue }
            counts[id] = parts[3].integer
        }
        return counts
    }

    // MARK: - Retries

    /// A retry was put off for so long by this very process: look then.
    func promote(in pause: Duration) {
        nextPromotion = min(nextPromotion, ContinuousClock.now + pause)
        upkeepAlarm.ring()
    }

    /// Moves what is due to the redelivery stream, which wakes a blocked reader. Every consumer looks; the script is
    /// atomic. Without known retries one look in a few seconds is enough: who schedules one knows its time.
    private func promoteDue() async {
        nextPromotion = ContinuousClock.now + .seconds(3)
        for partition in 0..<topic.partitions {
            let keys = broker.keys(topic.name, partition)
            let reply = try? await Scripts.promote.run(
                on: broker.client, keys: [keys.delayed(group), keys.redelivery(group)], arguments: [256])
            guard let parts = reply?.array, parts.count == 2, let next = parts[1].integer, next >= 0 else {
                continue
            }
            nextPromotion = min(nextPromotion, ContinuousClock.now + .milliseconds(max(1, next)))
        }
    }
}
