internal import Hiredis
internal import Logging

/// What a consumer does beside reading: renews its claims, takes over those of the dead, and brings retries back when
/// their time has come.
extension Consumer {
    /// How long is waited for what can as well be done a second later. A shutdown without a server waits for it, too.
    static let patience = Duration.seconds(3)

    func keepUp(_ share: Share) async {
        defer { clock.leave(share.upkeepAlarm) }
        var nextRenewal = clock.now + options.lease / 3
        // A little at random, so that the consumers of a group do not all look at once.
        var nextSweep = clock.now + options.lease / 10 * Int.random(in: 1...5)
        var stuckAt: ContinuousClock.Instant?
        while !Task.isCancelled && !isFinished {
            let now = clock.now
            if now >= nextRenewal {
                nextRenewal =
                    clock.now
                    + (await renewEverything(share)
                        ? options.lease / (isOrdered ? 2 : 3) : options.lease / 10)
            }
            if !isDraining, now >= states[share.index].nextPromotion { await promoteDue(share) }
            if now >= nextSweep {
                // What a dead consumer held can be more than there is room for: on as soon as there is some.
                let goesOn = await sweep(share)
                let pause = goesOn ? .milliseconds(10) : isOrdered ? options.lease : options.lease / 2
                nextSweep = clock.now + pause
            }
            if share.index == 0 { wakeForTime(now) }
            if isDraining && !states[share.index].hasStopped {
                // Until the reader has stopped: it may have been between two reads when it was woken.
                let isHeard = await wakeReader(of: share)
                // A server that is away wakes nobody. What it may have given to the read comes to light after a lease.
                let latest = clock.now + (isHeard ? options.block + .seconds(1) : .seconds(1))
                stuckAt = min(stuckAt ?? latest, latest)
                if let stuckAt, clock.now > stuckAt { share.reader.close() }
                await share.upkeepAlarm.wait(for: .milliseconds(20))
                continue
            }
            var next = min(nextRenewal, nextSweep)
            // A drain promotes nothing more.
            if !isDraining { next = min(next, states[share.index].nextPromotion) }
            if share.index == 0 {
                for case let due? in [lanes.nextDue, breaker.opensAt, suspectTurn.until] where due > now {
                    next = min(next, due)
                }
            }
            await clock.wait(on: share.upkeepAlarm, for: max(.milliseconds(1), next - clock.now))
        }
    }

    /// A batch that is due though it is not full, or a breaker that lets a probe through.
    private func wakeForTime(_ now: ContinuousClock.Instant) {
        if let due = lanes.nextDue, due <= now { wakeLane() }
        if let due = suspectTurn.until, due <= now { passSuspectTurn() }
        if let due = breaker.opensAt, due <= now, schedule.hasReady { wakeLane() }
        if let due = breaker.opensAt, due <= now, !schedule.hasReady {
            // Something to probe with is wanted.
            for share in shares { share.alarm.ring() }
        }
    }

    /// What nobody knows of: retries whose consumer has died, and entries that a silent one holds. One consumer of the group
    /// looks at a time, or each cost would be multiplied by their number; with an order it is the partition's owner.
    ///
    /// - Returns: whether there is more to take over than there was room for.
    private func sweep(_ share: Share) async -> Bool {
        guard !isDraining, let partition = share.partitions.first else { return false }
        if isOrdered {
            await promoteDue(share)
            return false
        }
        if states[share.index].hasMoreToReclaim { return roomToReclaim > 0 ? await reclaim(share) : true }
        guard roomToReclaim > 0 else { return false }
        let turn = RedisCommand(
            "SET", broker.keys(topic.name, partition).sweep(group), name.rawValue, "NX", "PX",
            max(1, options.lease.inMilliseconds * 2 / 5))
        let reply = try? await broker.client.send(turn, timeout: Self.patience)
        guard let reply, !reply.isNull else { return false }
        states[share.index].watchesUntil = clock.now + options.lease / 2
        await promoteDue(share)
        return await reclaim(share)
    }

    /// A little more than what reading leaves, which under load is nothing.
    private var roomToReclaim: Int {
        capacity + max(1, capacity / 4) - (held.count - states.reduce(0) { $0 + $1.settling })
    }

    // MARK: - Renewing

    /// False when it is to be tried again soon.
    private func renewEverything(_ share: Share) async -> Bool {
        if isOrdered { return await keepLeases(of: share) }
        await renew(share)
        return true
    }

    private func renew(_ share: Share) async {
        for stream in share.streams {
            let entries = held.all.filter { $0.stream === stream }.sorted { $0.id < $1.id }
            for start in stride(from: 0, to: entries.count, by: 500) {
                await renew(entries[start..<min(start + 500, entries.count)], of: stream)
            }
        }
    }

    private func renew(_ entries: ArraySlice<HeldEntry>, of stream: ReadStream) async {
        let askedAt = clock.now
        let who: [any RedisArgument] = [group.rawValue, name.rawValue]
        do throws(RedisError) {
            let reply = try await Scripts.renew.run(
                on: broker.client, keys: [stream.key], arguments: who + entries.map(\.id))
            let lost = Set(reply.array?.compactMap(\.streamID) ?? [])
            for entry in entries where !lost.contains(entry.id) {
                entry.claimedUntil = askedAt + options.lease
            }
        } catch {
            // Without a renewal the claim runs out by itself, and settling checks it.
            logger.debug("cannot renew claims", metadata: ["reason": "\(error)"])
        }
    }

    // MARK: - Reclaiming

    /// Takes what other consumers have not renewed for a lease. The cursor of each stream is carried on from pass to
    /// pass, so that a long list of pending entries is seen whole.
    private func reclaim(_ share: Share) async -> Bool {
        states[share.index].hasMoreToReclaim = false
        takeOvers += 1
        defer { takeOvers -= 1 }
        guard let others = await pendingOfOthers(in: share), !isDraining else { return false }
        for stream in others {
            var isFirst = true
            while !isDraining, roomToReclaim > 0, isFirst || cursors[ObjectIdentifier(stream)] != nil {
                isFirst = false
                do throws(RedisError) {
                    try await reclaim(from: stream)
                } catch {
                    if error.code == .replyTooLarge, askForLess(share) { continue }
                    logger.debug("cannot reclaim", metadata: ["reason": "\(error)"])
                    return false
                }
            }
        }
        states[share.index].hasMoreToReclaim = others.contains { cursors[ObjectIdentifier($0)] != nil }
        return states[share.index].hasMoreToReclaim
    }

    /// The streams of which more is pending than this consumer holds; one question for all of them.
    private func pendingOfOthers(in share: Share) async -> [ReadStream]? {
        do throws(RedisError) {
            let reply = try await Scripts.pending.run(
                on: broker.client, keys: share.streams.map(\.key), arguments: [group.rawValue],
                timeout: Self.patience)
            let counts = reply.array?.compactMap(\.integer) ?? []
            return zip(share.streams, counts).filter { stream, count in
                count > held.all.reduce(0) { $0 + ($1.stream === stream ? 1 : 0) }
            }.map(\.0)
        } catch {
            logger.debug("cannot reclaim", metadata: ["reason": "\(error)"])
            return nil
        }
    }

    private func reclaim(from stream: ReadStream) async throws(RedisError) {
        let askedAt = clock.now
        let place = ObjectIdentifier(stream)
        let claimed = try await broker.client.send(
            .xautoclaim(
                stream.key, group.rawValue, name.rawValue, idle: options.lease, from: cursors[place] ?? .zero,
                count: max(1, min(roomToReclaim, states[share(of: stream.partition).index].mostEntries))))
        cursors[place] = claimed.next
        report(deleted: claimed.deleted)
        let own = held.byID(of: stream)
        for entry in claimed.entries { own[entry.id]?.claimedUntil = askedAt + options.lease }
        let entries = claimed.entries.filter { own[$0.id] == nil }
        guard !entries.isEmpty else { return }
        counters.add(.reclaimed, entries.count)
        logger.notice("took over events of a silent consumer", metadata: ["count": "\(entries.count)"])
        try await take(checkingDeliveries: entries, of: stream, askedAt: askedAt)
    }

    func report(deleted ids: [StreamID]) {
        guard !ids.isEmpty else { return }
        counters.add(.lost, ids.count)
        logger.error(
            "events were deleted before they were handled",
            metadata: ["count": "\(ids.count)", "first": "\(ids[0])"])
    }

    /// Takes up claimed entries, having asked how often they were delivered.
    func take(
        checkingDeliveries entries: [StreamEntry], of stream: ReadStream, askedAt: ContinuousClock.Instant
    ) async throws(RedisError) {
        guard let first = entries.first?.id, let last = entries.last?.id else { return }
        let pending = try await broker.client.send(
            .xpending(
                stream.key, group.rawValue, min(first, last)...max(first, last),
                count: entries.count + held.count, of: name.rawValue))
        let deliveries = Dictionary(pending.map { ($0.id, $0.deliveries) }, uniquingKeysWith: max)
        try await take(entries.map { ($0, deliveries[$0.id] ?? 0) }, of: stream, askedAt: askedAt)
    }

    /// Gives up an entry that was delivered too often.
    func deadLetter(
        _ entry: StreamEntry, of stream: ReadStream, deliveries: Int, askedAt: ContinuousClock.Instant
    ) {
        let reason = "delivered \(deliveries - 1) times and never settled: the process may die of it"
        logger.error("dead letter", metadata: ["entry": "\(entry.id)", "reason": "\(reason)"])
        // With an order its key may wait for it.
        if stream.isRedelivery, let content = try? DecodedFields(entry.fields, entry: entry.id, trusted: true)
        {
            goOn(without: content, stream.partition)
        }
        let dead = HeldEntry(.unreadable, at: entry.id, of: stream, claimedUntil: askedAt + options.lease)
        hold(dead)
        finish(dead, .dead(failedAttempts: 0, reason: reason))
    }

    // MARK: - Retries

    /// A retry was put off for so long by this very process: look then.
    func promote(_ share: Share, in pause: Duration) {
        let due = clock.now + pause
        states[share.index].nextPromotion = min(states[share.index].nextPromotion, due)
        share.upkeepAlarm.ring()
    }

    /// Moves what is due to the redelivery stream or to the log, which wakes a blocked reader. The script is atomic: it does
    /// not matter who looks.
    private func promoteDue(_ share: Share) async {
        states[share.index].nextPromotion = clock.now + .seconds(3600)
        // What publishers schedule nobody here knows of: one consumer of the group looks every second.
        let watches =
            isOrdered
            ? share.partitions.first.map { tenures[$0].isOwned } ?? false
            : clock.now < states[share.index].watchesUntil
        if watches { promote(share, in: .seconds(1)) }
        var keys: [String] = []
        for partition in share.partitions {
            let own = broker.keys(topic.name, partition)
            let isOwned = !isOrdered || tenures[partition].isOwned
            if isOwned { keys += [own.delayed(group), own.redelivery(group)] }
            if isOwned || watches { keys += [own.scheduled, own.events] }
        }
        guard !keys.isEmpty else { return }
        // Mostly there is nothing, and a script counts as two commands.
        let sources = stride(from: 0, to: keys.count, by: 2).map { keys[$0] }
        let exists = RedisCommand(arguments: ["EXISTS"] + sources)
        let found = try? await broker.client.send(exists, timeout: Self.patience)
        guard let found else { return promote(share, in: .seconds(1)) }
        if found.integer == 0 { return }
        let reply = try? await Scripts.promote.run(
            on: broker.client, keys: keys, arguments: [256], timeout: Self.patience)
        guard let parts = reply?.array, parts.count == 2, let next = parts[1].integer else {
            return promote(share, in: .seconds(1))
        }
        if next >= 0 { promote(share, in: .milliseconds(max(1, next))) }
    }
}
