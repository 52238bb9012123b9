internal import Hiredis
internal import Logging

/// From the server into the hands of this process.
extension Consumer {
    /// One reader's error ends them all.
    func read(_ share: Share) async {
        do throws(FreshetError) { try await readUntilDraining(share) } catch { failure = error }
        beginDraining()
        readerEnded(share)
    }

    private func readUntilDraining(_ share: Share) async throws(FreshetError) {
        var pause = Duration.milliseconds(20)
        var isFailing = false
        defer { pulse.ended(share.index) }
        while !isDraining && !Task.isCancelled {
            pulse.beat(share.index)
            do throws(RedisError) {
                guard try await readOnce(share) else {
                    await share.alarm.wait(for: .seconds(1))
                    continue
                }
                if isFailing { logger.notice("reading again") }
                (isFailing, pause) = (false, .milliseconds(20))
            } catch {
                if error.code == .cancelled || error.code == .closed { return }
                restartTakeovers(of: share)
                // A stream or group that is gone: 7.0 says UNBLOCKED when it goes while we wait, all say NOGROUP after.
                let isGone = error.serverCode == .noGroup || error.serverCode == .unblocked
                // What a broken reply held is pending, and comes again by being reclaimed.
                let isTooLarge = error.code == .replyTooLarge && askForLess(share)
                guard error.isRetryable || isGone || isTooLarge || error.code == .protocolBroken else {
                    throw FreshetError(error)
                }
                if isGone {
                    logger.warning(
                        "the stream or group is gone, making it again from its start",
                        metadata: ["reason": "\(error)"])
                    try await prepare(share)
                } else if !isFailing {
                    logger.warning("cannot read, trying again", metadata: ["reason": "\(error)"])
                    isFailing = true
                }
                await share.alarm.wait(for: pause)
                pause = min(pause * 2, .seconds(1))
            }
        }
    }

    /// How many more entries this process takes. What is being settled has left its hands, unless settling is stuck.
    private func room(for share: Share) -> Int {
        let settling = states.reduce(0) { $0 + $1.settling }
        guard states[share.index].settling < 4 * capacity else { return 0 }
        guard breaker.isClosed else {
            return breaker.permission(at: clock.now) == .probe && !schedule.hasReady ? 1 : 0
        }
        return capacity - (held.count - settling - schedule.waitingCount)
    }

    /// False when there is no room, or nothing to read from.
    private func readOnce(_ share: Share) async throws(RedisError) -> Bool {
        let room = room(for: share)
        guard room > 0 else { return false }
        var isBusy = false
        if isOrdered {
            restartTakeovers(of: share, onlyWanted: true)
            isBusy = try await takeOverNext(of: share, room: room)
            if !isBusy { isBusy = try await compareNext(of: share) }
        }
        let streams = isOrdered ? share.streams.filter(isReadable) : share.streams
        guard !streams.isEmpty else { return isBusy }
        let readAt = clock.now
        states[share.index].reading = Set(streams.map(\.partition))
        defer { readEnded(share) }
        // COUNT holds for each stream, so a read can bring more than there is room for when several are busy; the rest
        // waits here, its claims renewed, and the next read waits for it.
        let count = max(1, min(room * 2 / streams.count, states[share.index].mostEntries))
        let read: [(key: String, entries: [StreamEntry])]
        if isOrdered {
            // The next comparison is at most half a lease late.
            let untilComparison = max(options.lease / 2, states[share.index].nextComparison - readAt)
            let block = isBusy ? nil : min(options.block, untilComparison)
            read = try await readInOrder(streams, count: count, block: block, on: share)
        } else {
            read = try await share.reader.send(
                .xreadgroup(
                    group.rawValue, name.rawValue, streams.map(\.key), count: count, block: options.block))
        }
        for (key, entries) in read {
            if let stream = streams.first(where: { $0.key == key }) {
                take(entries, of: stream, from: .stream(stream), readAt: readAt)
            }
        }
        return true
    }

    private func readEnded(_ share: Share) {
        states[share.index].reading = []
        if isOrdered, share.partitions.contains(where: { tenures[$0].phase == .leaving }) {
            ownershipAlarm.ring()
        }
    }

    /// After a reply that was larger than the client takes; false when a single entry is.
    func askForLess(_ share: Share) -> Bool {
        let most = min(states[share.index].mostEntries, capacity)
        guard most > 1 else { return false }
        states[share.index].mostEntries = most / 2
        logger.warning("a reply was too large, asking for fewer entries", metadata: ["count": "\(most / 2)"])
        return true
    }

    /// Takes up entries that the server has given to this consumer.
    func take(
        _ entries: [StreamEntry], of stream: ReadStream, from source: SubscriptionMetrics.Source,
        readAt: ContinuousClock.Instant,
        suspects: [StreamID: Int] = [:]
    ) {
        if isOrdered {
            // A partition that was lost while the server was asked: its next owner has these, or will. One
            // whose pending entries are gone through anew: they are among these.
            let phase = tenures[stream.partition].phase
            switch source {
            case .claim: guard phase == .takingOver else { return }
            case .stream: guard phase == .live else { return }
            }
            guard let last = entries.last?.id else { return }
            let newest = tenures[stream.partition].newest[stream.isRedelivery]
            tenures[stream.partition].newest[stream.isRedelivery] = max(newest, last)
            if let first = entries.first?.id, first <= newest, case .stream = source {
                // A rewind: what has not begun is not taken twice.
                return take(notInHand(entries, of: stream), of: stream, readAt, suspects, from: source)
            }
        }
        take(entries, of: stream, readAt, suspects, from: source)
    }

    /// Entries that are not waiting here already.
    private func notInHand(_ entries: [StreamEntry], of stream: ReadStream) -> [StreamEntry] {
        let inHand = held.byID(of: stream).filter { $1.stage == .waiting }
        return entries.filter { entry in
            guard inHand[entry.id] == nil else { return false }
            guard let key = entry.field("partitionkey")?.string else { return true }
            return !schedule.hasDeferred(entry.id, of: stream, key: key)
        }
    }

    private func take(
        _ entries: [StreamEntry], of stream: ReadStream, _ readAt: ContinuousClock.Instant,
        _ suspects: [StreamID: Int], from source: SubscriptionMetrics.Source
    ) {
        metrics.delivered(entries.count, from: source)
        for entry in entries {
            guard let held = decode(entry, of: stream, claimedUntil: readAt + options.lease) else { continue }
            if !suspects.isEmpty { held.suspicion = suspects[entry.id] ?? 0 }
            if states[share(of: stream.partition).index].hasStopped {
                // Nobody takes it up any more: a shutdown began while the server was asked.
                hold(held)
                handBack(held)
            } else if schedule.add(held) {
                hold(held)
            }
        }
        wakeLane()
    }

    /// The entry as an event that has a handler; nil when it ended here. It is settled then.
    func decode(
        _ entry: StreamEntry, of stream: ReadStream, claimedUntil: ContinuousClock.Instant
    ) -> HeldEntry? {
        func end(_ content: DecodedFields, _ settlement: Settlement) {
            let held = HeldEntry(content, at: entry.id, of: stream, claimedUntil: claimedUntil)
            hold(held)
            finish(held, settlement)
        }
        do throws(FreshetError) {
            let content = try DecodedFields(
                entry.fields, entry: entry.id, trusted: stream.isRedelivery, texts: &texts)
            if content.isCancelled {
                goOn(without: content, stream.partition)
                end(content, .acknowledged)
                return nil
            }
            guard let handler = handler(for: content, at: entry.id) else {
                counters.add(.ignored)
                // A retry from when there was one: its key need not wait for it.
                if stream.isRedelivery { goOn(without: content, stream.partition) }
                end(content, .acknowledged)
                return nil
            }
            guard content.event.schemaVersion <= handler.newestVersion else {
                if stream.isRedelivery { goOn(without: content, stream.partition) }
                throw .newer(content.event, than: handler.newestVersion)
            }
            return HeldEntry(
                content, for: handler, at: entry.id, of: stream, claimedUntil: claimedUntil)
        } catch {
            logger.warning("invalid event", metadata: ["entry": "\(entry.id)", "reason": "\(error)"])
            end(.unreadable, .invalid(reason: error.message))
            return nil
        }
    }

    /// Wakes a share's reader from its blocking read, so that a shutdown or a new partition does not wait for it. An ACL
    /// may forbid it; then the read ends by itself after `block`.
    ///
    /// - Returns: false when there was no server to ask.
    @discardableResult
    func wakeReader(of share: Share) async -> Bool {
        share.alarm.ring()
        return states[share.index].reading.isEmpty ? true : await broker.client.unblock(share.reader)
    }
}
