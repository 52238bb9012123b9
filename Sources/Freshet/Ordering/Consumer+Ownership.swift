internal import Hiredis
internal import Logging

/// Which partitions are this consumer's own, when an order is to be kept.
extension Consumer {
    /// Takes and gives back partitions until nothing is held any more.
    func keepPartitions() async {
        defer { clock.leave(ownershipAlarm) }
        var nextMeeting = clock.now
        var freeSince: [Int: ContinuousClock.Instant] = [:]
        var isLeaving = false
        while !Task.isCancelled && !isFinished {
            if isDraining {
                leaveAll()
                if !isLeaving { (isLeaving, news.isThere) = (true, true) }
            }
            await giveBackWhatIsIdle()
            await keepWhatIsStuck()
            if news.isThere || clock.now >= nextMeeting {
                news.isThere = false
                let pause = await meet(&freeSince)
                nextMeeting = clock.now + pause * Double.random(in: 0.9...1)
            }
            var wait = news.isThere ? .zero : nextMeeting - clock.now
            if let due = stuckDue { wait = min(wait, due - clock.now) }
            await clock.wait(on: ownershipAlarm, for: max(.milliseconds(1), wait))
        }
        // Of a consumer that is cancelled the leases run out: what it held may have been the reason.
        guard !Task.isCancelled else { return }
        leaveAll()
        await giveBackWhatIsIdle()
        let hasLeft = try? await broker.client.send(
            RedisCommand("HDEL", membersKey, name.rawValue), timeout: Self.farewell)
        if hasLeft != nil { await changes?.tell() }
    }

    private nonisolated var membersKey: String { broker.namespace.membersKey(topic.name, group) }

    // MARK: - Sharing out

    /// Says that this consumer lives, or that it is leaving, and gives and takes what is due.
    ///
    /// - Parameter freeSince: when it was first seen that nobody owns a partition.
    /// - Returns: how long to wait before the next time.
    private func meet(_ freeSince: inout [Int: ContinuousClock.Instant]) async -> Duration {
        let owned = tenures.indices.filter { tenures[$0].isOwned }
        let members: [Balance.Member]
        do throws(RedisError) {
            let reply = try await LeaseScripts.meet.run(
                on: broker.client, keys: [membersKey],
                arguments: [
                    // It says so again after at most half a lease: who is silent for longer is not waited for.
                    name.rawValue, options.lease.inMilliseconds * 3 / 4,
                    (isDraining ? "-" : "") + owned.map(String.init).joined(separator: ","),
                ], timeout: isDraining ? Self.farewell : Self.patience)
            members = Self.members(reply)
        } catch {
            // Those who own a partition keep it: only who gets what waits.
            logger.debug("cannot meet the group", metadata: ["reason": "\(error)"])
            return options.lease / 2
        }
        if news.isToBeTold {
            news.isToBeTold = false
            await changes?.tell()
        }
        guard !isDraining else { return options.lease / 2 }
        // Whoever is to take something looks each sixth of a lease.
        let abandoned = freeSince.filter { $0.value + options.lease * 3 / 10 <= clock.now }.keys
        let plan = Balance.plan(
            for: name, among: members, partitions: topic.partitions, givable: givable,
            abandoned: Set(abandoned))
        freeSince = plan.free.reduce(into: [:]) { $0[$1] = freeSince[$1] ?? clock.now }
        if !news.hasMet, plan.isWaiting { await changes?.tell() }
        news.hasMet = true
        for partition in plan.give { leave(partition) }
        for share in shares where !plan.give.allSatisfy({ !share.partitions.contains($0) }) {
            // It waits for new events of what is no longer to be read.
            await wakeReader(of: share)
        }
        await giveBackWhatIsIdle()
        await withDiscardingTaskGroup { tasks in
            // Side by side: in a database their epochs share a commit.
            for partition in plan.take { tasks.addTask { await self.take(partition) } }
        }
        // At once when something was taken: the others are to know whose it is. Soon while a partition has no owner or another
        // consumer is to give one.
        if plan.take.contains(where: { tenures[$0].isOwned }) { return .zero }
        if plan.free.isEmpty && !plan.isWaiting { return options.lease / 2 }
        let isFresh = news.isFreshUntil.map { $0 > clock.now } ?? false
        return isFresh ? min(.milliseconds(20), options.lease / 6) : options.lease / 6
    }

    private static func members(_ reply: RedisReply) -> [Balance.Member] {
        let parts = reply.array?.map { $0.string ?? "" } ?? []
        return stride(from: 0, to: parts.count - 1, by: 2).map { index in
            let isLeaving = parts[index + 1].hasPrefix("-")
            let owned = parts[index + 1].dropFirst(isLeaving ? 1 : 0).split(separator: ",")
            return .init(
                name: ConsumerName(unchecked: parts[index]), owned: Set(owned.compactMap { Int($0) }),
                isLeaving: isLeaving)
        }
    }

    // MARK: - Taking

    private func take(_ partition: Int) async {
        // Handlers of an earlier tenure still run: their events would run twice at once.
        guard !isDraining, tenures[partition].phase == .absent, heldCounts[partition] == 0 else { return }
        let (askedAt, keys) = (clock.now, broker.keys(topic.name, partition))
        do {
            let reply = try await LeaseScripts.take.run(
                on: broker.client, keys: [keys.lease(group), keys.epochs],
                arguments: [name.rawValue, options.lease.inMilliseconds, group.rawValue])
            guard let parts = reply.array.map(Array.init), parts.count == 2,
                let epoch = parts[0].integer ?? parts[0].string.flatMap(Int.init), epoch >= 0
            else { return }
            var tenure = Tenure(keptUntil: askedAt + options.lease)
            tenure.epoch = epoch
            tenure.takeover.isAfterCrash = parts[1].integer == 0
            let fenced = try await options.fence?.raise(
                topic: topic.name, group: group, partition: partition, owner: name)
            tenure.claim = PartitionClaim(owner: name, epoch: fenced ?? epoch)
            tenure.phase = isDraining ? .leaving : .takingOver
            tenure.settledMeanwhile = SettledEntries()
            tenures[partition] = tenure
            options.observePartition?(partition, epoch, true)
            logger.info("took a partition", metadata: ["partition": "\(partition)", "epoch": "\(epoch)"])
            await wakeReader(of: share(of: partition))
        } catch {
            // The next meeting tries again; a lease that was taken all the same expires, or is taken again by us.
            logger.debug(
                "cannot take a partition", metadata: ["partition": "\(partition)", "reason": "\(error)"])
        }
    }

    // MARK: - Keeping

    /// Renews the leases of a share's partitions. False when it failed and is to be tried again soon.
    func keepLeases(of share: Share) async -> Bool {
        let owned = share.partitions.filter { tenures[$0].isOwned }
        var isKept = true
        guard !owned.isEmpty else { return true }
        let askedAt = clock.now
        let epochs = owned.map { tenures[$0].epoch }
        do throws(RedisError) {
            let reply = try await LeaseScripts.keep.run(
                on: broker.client, keys: owned.map { broker.keys(topic.name, $0).lease(group) },
                arguments: [name.rawValue, options.lease.inMilliseconds] + epochs)
            let kept = reply.array?.map { $0.integer == 1 } ?? []
            for ((partition, epoch), wasKept) in zip(zip(owned, epochs), kept)
            where tenures[partition].isOwned && tenures[partition].epoch == epoch {
                if wasKept {
                    tenures[partition].keptUntil = askedAt + options.lease
                } else {
                    lose(partition)
                }
            }
        } catch {
            logger.debug("cannot keep partitions", metadata: ["reason": "\(error)"])
            isKept = false
        }
        for partition in owned where tenures[partition].isOwned && tenures[partition].keptUntil < clock.now {
            lose(partition)
        }
        return isKept
    }

    /// Another consumer has the partition, or may have it. What runs ends, and is refused when it settles.
    func lose(_ partition: Int) {
        guard tenures[partition].isOwned else { return }
        tenures[partition].phase = .absent
        options.observePartition?(partition, tenures[partition].epoch, false)
        logger.warning("lost a partition", metadata: ["partition": "\(partition)"])
        dropWhatWaits(of: partition)
        ownershipAlarm.ring()
    }

    /// Whether new entries of the stream are read. Retries always are: keys wait for them.
    func isReadable(_ stream: ReadStream) -> Bool {
        let tenure = tenures[stream.partition]
        return tenure.phase == .live && tenure.keptUntil > clock.now
            && (stream.isRedelivery || !schedule.isFull)
    }

    /// Whether an entry may start: its partition is surely ours. Otherwise it is not held any more.
    func mayStart(_ entry: HeldEntry) -> Bool {
        let partition = entry.stream.partition
        let tenure = tenures[partition]
        if tenure.isOwned, tenure.phase != .leaving {
            if tenure.keptUntil > clock.now { return true }
            lose(partition)
        }
        forget(entry)
        return false
    }

    // MARK: - Giving back

    /// Nothing more of the partition starts; when what runs has ended, it is free.
    private func leave(_ partition: Int) {
        guard tenures[partition].isOwned, tenures[partition].phase != .leaving else { return }
        tenures[partition].phase = .leaving
        tenures[partition].leavingSince = clock.now
        dropWhatWaits(of: partition)
    }

    private func leaveAll() {
        for partition in tenures.indices { leave(partition) }
    }

    /// The partitions that may be given to another consumer: idle ones first, and none whose handlers kept it
    /// here before and still run.
    private var givable: [Int] {
        var running = Array(repeating: 0, count: tenures.count)
        for entry in held.all where entry.stage == .running { running[entry.stream.partition] += 1 }
        return tenures.indices.reversed().filter { partition in
            tenures[partition].isOwned && !tenures[partition].stuckOn.contains { $0.index >= 0 }
        }.sorted { running[$0] < running[$1] }
    }

    /// For how long a partition that is to be given away waits for its handlers, which start nothing
    /// meanwhile.
    private var longestLeaving: Duration { options.lease / 4 }

    /// When a partition that is to be given away stays, unless its handlers end before.
    private var stuckDue: ContinuousClock.Instant? {
        guard !isDraining else { return nil }
        return tenures.filter { $0.phase == .leaving }.compactMap { $0.leavingSince }.min().map {
            $0 + longestLeaving
        }
    }

    /// A partition whose handlers do not end stays: its other keys go on, and another partition is given
    /// instead.
    private func keepWhatIsStuck() async {
        guard let due = stuckDue, due <= clock.now else { return }
        for partition in tenures.indices
        where tenures[partition].phase == .leaving
            && tenures[partition].leavingSince.map({ $0 + longestLeaving <= clock.now }) ?? false
        {
            let running = held.all.filter { $0.stream.partition == partition && $0.stage == .running }
            guard !running.isEmpty else {
                // They have ended and are being settled.
                tenures[partition].leavingSince = clock.now
                continue
            }
            tenures[partition].stuckOn = running
            // The task that reads takes up what was dropped for the sake of the hand-over.
            tenures[partition].phase = .takingOver
            tenures[partition].needsRestart = true
            news.isThere = true
            logger.notice(
                "a partition stays with its consumer: handlers do not end",
                metadata: ["partition": "\(partition)", "handlers": "\(running.count)"])
            await wakeReader(of: share(of: partition))
        }
    }

    private func dropWhatWaits(of partition: Int) {
        for entry in schedule.drop(partition..<partition + 1) { forget(entry) }
        for entry in lanes.takeGathered(of: partition) { forget(entry) }
    }

    private func giveBackWhatIsIdle() async {
        var isServerAway = false
        for partition in tenures.indices
        where tenures[partition].phase == .leaving && heldCounts[partition] == 0
            && !states[share(of: partition).index].reading.contains(partition)
        {
            let epoch = tenures[partition].epoch
            options.observePartition?(partition, epoch, false)
            // No more renewals from here on; should this fail, the lease expires by itself.
            tenures[partition].phase = .absent
            (news.isThere, news.isToBeTold) = (true, true)
            if isServerAway { continue }
            do throws(RedisError) {
                try await LeaseScripts.free.run(
                    on: broker.client, keys: [broker.keys(topic.name, partition).lease(group)],
                    arguments: [name.rawValue, epoch], timeout: isDraining ? Self.farewell : Self.patience)
                logger.info("gave a partition back", metadata: ["partition": "\(partition)"])
            } catch {
                isServerAway = error.isRetryable
                logger.debug("cannot give a partition back", metadata: ["reason": "\(error)"])
            }
        }
    }
}
