internal import Hiredis
internal import Logging

/// Settling in batches without a timer: while one batch is under way the next one gathers.
extension Consumer {
    /// Ends a delivery: the settler does it soon, and until then the entry is held and its claim renewed.
    func finish(_ entry: HeldEntry, _ settlement: Settlement) {
        let share = share(of: entry.stream.partition)
        entry.process?.isSettling(as: settlement.outcome)
        if case .scheduled = settlement { entry.stage = .comingBack } else { entry.stage = .settling }
        states[share.index].settlements.append((entry, settlement))
        states[share.index].settling += 1
        guard states[share.index].settlements.count == 1 else { return }
        wakeSettler(of: share)
        // What is being settled has left our hands: there is room.
        share.alarm.ring()
    }

    /// Settles what the others finish, until nothing will come any more or the task is cancelled. A task of its own for
    /// each share: under load it has always something to do, and a node that is away is to hold up no other.
    func settleAll(of share: Share) async {
        while !Task.isCancelled {
            let batch = states[share.index].settlements
            states[share.index].settlements = []
            if !batch.isEmpty {
                await settle(batch, in: share)
            } else if isFinished {
                return
            } else {
                await withTaskCancellationHandler {
                    await withCheckedContinuation { continuation in
                        // Asked again here: a task from elsewhere is queued anew at each `await`.
                        if Task.isCancelled || isFinished || !states[share.index].settlements.isEmpty {
                            continuation.resume()
                        } else {
                            states[share.index].settler = continuation
                        }
                    }
                } onCancel: {
                    Task { await self.wakeSettler(of: share) }
                }
            }
        }
    }

    /// There is something to settle, or nothing will come any more.
    func wakeSettler(of share: Share) {
        let settler = states[share.index].settler
        states[share.index].settler = nil
        settler?.resume()
    }

    private func settle(_ batch: [(entry: HeldEntry, settlement: Settlement)], in share: Share) async {
        // What was read or renewed less than a lease ago nobody can have claimed: there XACK alone is as safe as the
        // script, and takes a whole batch. A little of the lease is left for the way to the server.
        let safe = clock.now + options.lease / 5
        for stream in share.streams {
            var plain: [HeldEntry] = []
            var others: [(entry: HeldEntry, settlement: Settlement)] = []
            for (entry, settlement) in batch where entry.stream === stream {
                if case .acknowledged = settlement, !stream.isRedelivery, topic.kind == .log,
                    isSurelyOurs(entry, at: safe)
                {
                    plain.append(entry)
                } else {
                    others.append((entry, settlement))
                }
            }
            if !plain.isEmpty { await acknowledge(plain, of: stream) }
            if !others.isEmpty { await perform(others, of: stream) }
            Drill.reached(.afterAcknowledge)
        }
        states[share.index].settling -= batch.count
        share.alarm.ring()
    }

    /// Whether nobody else can have the entry by then: by its own claim, or that of its partition.
    private func isSurelyOurs(_ entry: HeldEntry, at moment: ContinuousClock.Instant) -> Bool {
        guard isOrdered else { return entry.claimedUntil > moment }
        let tenure = tenures[entry.stream.partition]
        return tenure.isOwned && tenure.keptUntil > moment
    }

    private func acknowledge(_ entries: [HeldEntry], of stream: ReadStream) async {
        let ids = entries.map(\.id)
        let isDone = await persist(entries.count) { isRepeated async throws(RedisError) in
            let count = try await self.broker.client.send(.xack(stream.key, self.group.rawValue, ids))
            // Those that are missing in a repetition were acknowledged by a request whose reply was lost.
            self.counters.add(.acknowledged, isRepeated ? ids.count : count)
            if !isRepeated { self.counters.add(.fenced, ids.count - count) }
            // When one was another's, nobody says which.
            guard count == ids.count else { return }
            self.metrics.acknowledged(entries)
            if let observe = self.options.observe {
                for entry in entries { observe(entry.content.event, .acknowledged) }
            }
        }
        for entry in entries {
            entry.process?.settled()
            if isDone { left(entry) }
            forget(entry)
        }
    }

    /// The entry has left the pending list, or was not on it.
    private func left(_ entry: HeldEntry) {
        if isOrdered { tenures[entry.stream.partition].settled(entry.id, of: entry.stream) }
    }

    /// So many endings are one script's: the server serves nobody else meanwhile.
    private static let scriptBatch = 200

    private func perform(_ endings: [(entry: HeldEntry, settlement: Settlement)], of stream: ReadStream) async
    {
        let sorted = endings.sorted { $0.entry.id < $1.entry.id }
        for start in stride(from: 0, to: sorted.count, by: Self.scriptBatch) {
            let batch = sorted[start..<min(start + Self.scriptBatch, sorted.count)]
            let isDone = await persist(batch.count) { isRepeated async throws(RedisError) in
                try await self.perform(batch, of: stream, isRepeated: isRepeated)
            }
            for (entry, _) in batch {
                if isDone { left(entry) }
                forget(entry)
            }
        }
    }

    private func perform(
        _ endings: ArraySlice<(entry: HeldEntry, settlement: Settlement)>, of stream: ReadStream,
        isRepeated: Bool
    ) async throws(RedisError) {
        let keys = broker.keys(topic.name, stream.partition)
        let deletes = stream.isRedelivery || topic.kind == .queue
        let asOwner = isOrdered ? tenures[stream.partition].epoch : nil
        let epoch = asOwner.map { "\($0)" } ?? ""
        var arguments: [any RedisArgument] = [group.rawValue, name.rawValue, deletes ? 1 : 0, epoch]
        for (entry, settlement) in endings {
            if case .scheduled(let pause, _, _) = settlement {
                promote(share(of: stream.partition), in: pause)
            }
            arguments.append(entry.id)
            arguments += settlement.arguments
        }
        let reply = try await Scripts.settle.run(
            on: broker.client,
            keys: [
                stream.key, keys.delayed(group), keys.dead(group), keys.invalid(group),
                keys.redelivery(group),
                keys.lease(group),
            ],
            arguments: arguments)
        let results = reply.array?.map { $0.integer ?? -1 } ?? []
        var acknowledged: [HeldEntry] = []
        for ((entry, settlement), result) in zip(endings, results) {
            switch Scripts.Settled(result, isRepeated: isRepeated, deletes: deletes) {
            case .here:
                entry.process?.settled()
                counters.add(settlement.outcome)
                if case .acknowledged = settlement { acknowledged.append(entry) }
                options.observe?(entry.content.event, settlement.outcome)
            case .before:
                entry.process?.settled()
                counters.add(settlement.outcome)
                if case .acknowledged = settlement { acknowledged.append(entry) }
                // A server that came back without its last writes has no retry, and gives the event out
                // again.
                if isOrdered, entry.stage == .comingBack { tenures[stream.partition].needsRestart = true }
            case .gone:
                entry.process?.settled(.lost)
                counters.add(.lost)
                logger.error(
                    "an event was deleted before it was settled", metadata: ["entry": "\(entry.id)"])
                goOn(withoutRetryOf: entry)
            case .elsewhere:
                entry.process?.settled(.fenced)
                counters.add(.fenced)
                logger.info("another consumer had taken the event", metadata: ["entry": "\(entry.id)"])
                if result == -1, isOrdered, asOwner == tenures[stream.partition].epoch {
                    // The lease is another's, or the server came back without it: nothing may start behind
                    // this event.
                    lose(stream.partition)
                } else if isOrdered, entry.stage == .comingBack {
                    // The server may have come back with a retry of the event, or give it out again: it is
                    // looked for, and only when there is none its key goes on.
                    tenures[stream.partition].needsRestart = true
                }
            }
        }
        if !acknowledged.isEmpty { metrics.acknowledged(acknowledged) }
    }

    /// There will be no retry of the entry: nothing waits for it.
    private func goOn(withoutRetryOf entry: HeldEntry) {
        guard entry.stage == .comingBack else { return }
        goOn(without: entry.logPosition, of: entry.content.event.partitionKey, entry.stream.partition)
    }

    /// Until it is done: repeating a settlement that ran after all finds the entry settled and changes nothing.
    ///
    /// - Parameter action: told whether an earlier call may have had its effect.
    /// - Returns: false when it was given up.
    private func persist(_ count: Int, _ action: (_ isRepeated: Bool) async throws(RedisError) -> Void) async
        -> Bool
    {
        var pause = Duration.milliseconds(20)
        var isRepeated = false
        while true {
            do throws(RedisError) {
                try await action(isRepeated)
                return true
            } catch {
                let isGone = error.serverCode == .noGroup
                guard error.isRetryable, !Task.isCancelled else {
                    if Task.isCancelled { leaveUnsettled(count) }
                    if error.code != .cancelled, !isGone {
                        logger.error(
                            "cannot settle; the event will come again", metadata: ["reason": "\(error)"])
                    }
                    return false
                }
                isRepeated = isRepeated || error.mayHaveRun
            }
            try? await Task.sleep(for: pause)
            pause = min(pause * 2, .seconds(1))
        }
    }
}
