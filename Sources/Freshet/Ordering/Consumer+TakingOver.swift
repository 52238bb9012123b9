internal import Hiredis
internal import Logging

/// Taking up what a partition's last owner left, and what was parked.
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
            next = page?.streamID.map { .due(after: $0) } ?? .redelivery(from: .zero)
        case .redelivery(let from):
            let last = try await takeUp(
                share.streams.first { $0.partition == partition && $0.isRedelivery }, from, room)
            next = last.map { .redelivery(from: $0) } ?? .log(from: .zero)
        case .log(let from):
            let last = try await takeUp(
                share.streams.first { $0.partition == partition && !$0.isRedelivery }, from, room)
            next = last.map { .log(from: $0) }
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
    private static let page = 500

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
    private func takeUp(_ stream: ReadStream?, _ from: StreamID, _ room: Int) async throws(RedisError)
        -> StreamID?
    {
        guard let stream else { return nil }
        let tenure = tenures[stream.partition]
        let askedAt = ContinuousClock.now
        let count = min(room, states[share(of: stream.partition).index].mostEntries, 500)
        let reply = try await LeaseScripts.takeUp.run(
            on: share(of: stream.partition).reader,
            keys: [stream.key, broker.keys(topic.name, stream.partition).lease(group)],
            arguments: [
                group.rawValue, name.rawValue, tenure.epoch, from, count,
                tenure.takeover.isAfterCrash ? 1 : 0,
            ])
        guard let parts = reply.array.map(Array.init), parts.count == 4,
            let entries = parts[0].list({ StreamEntry($0) }),
            let counts = parts[1].array?.map({ $0.integer ?? 0 }), counts.count == entries.count,
            let gone = parts[2].array?.compactMap(\.streamID)
        else {
            lose(stream.partition)
            return nil
        }
        report(deleted: gone)
        if !entries.isEmpty { counters.add(.reclaimed, entries.count) }
        var usable: [StreamEntry] = []
        for (entry, count) in zip(entries, counts) {
            if count > options.maximumDeliveries {
                deadLetter(entry, of: stream, deliveries: count, askedAt: askedAt)
            } else {
                usable.append(entry)
            }
        }
        take(usable, of: stream, readAt: askedAt)
        return parts[3].streamID.flatMap(\.successor)
    }

    // MARK: - Gaps

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
        let looksAtOnce = ContinuousClock.now >= states[share.index].nextLook
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
            states[share.index].nextLook = entries.isEmpty ? .now + options.lease : .now
            for (stream, look) in zip(streams, looks) {
                guard let reply = replies.next() else { break }
                for holder in try look.answer(from: reply).consumers.keys where holder != name.rawValue {
                    var stolen: [StreamEntry] = []
                    repeat {
                        let page = try await takeBack(
                            stream, from: holder, after: stolen.last?.id ?? .zero, on: share)
                        stolen += page
                        if page.count < Self.page { break }
                    } while true
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
            ObjectIdentifier(stream), tenures[stream.partition].epoch, ContinuousClock.now
        )
        let entries = try await takeBack(
            stream, from: name.rawValue, after: lastRead[place] ?? .zero, on: share)
        guard tenures[stream.partition].epoch == epoch else { return true }
        take(entries, of: stream, readAt: askedAt)
        // As many as are asked for at a time: there may be more.
        if entries.count < Self.page { unsure.remove(place) }
        return true
    }

    /// What a consumer holds of a stream behind a position, as our own; through the connection that reads, because a read that
    /// was given up may still run, and what it brings is to be seen.
    private func takeBack(
        _ stream: ReadStream, from holder: String, after position: StreamID, on share: Share
    )
        async throws(RedisError) -> [StreamEntry]
    {
        let reply = try await LeaseScripts.takeBack.run(
            on: share.reader, keys: [stream.key, broker.keys(topic.name, stream.partition).lease(group)],
            arguments: [
                group.rawValue, name.rawValue, tenures[stream.partition].epoch, holder, position, Self.page,
            ])
        guard let parts = reply.array.map(Array.init), parts.count == 2,
            let entries = parts[0].list({ StreamEntry($0) }),
            let gone = parts[1].array?.compactMap(\.streamID)
        else {
            lose(stream.partition)
            return []
        }
        report(deleted: gone)
        counters.add(.reclaimed, entries.count)
        return entries
    }

    // MARK: - Parked entries

    /// An operator has cancelled a retry: its key need not wait for it.
    func goOn(without cancelled: DecodedFields, _ partition: Int) {
        guard isOrdered, let key = cancelled.event.partitionKey, let position = cancelled.originalID else {
            return
        }
        if let lane = schedule.unblock(partition: partition, key: key, position: position) {
            readParked(of: lane)
        }
    }

    /// The next entries of a key are wanted that were parked.
    func readParked(of lane: KeyLane) {
        let share = share(of: lane.partition)
        states[share.index].fetches.append(lane)
        share.fetchAlarm.ring()
    }

    /// Reads parked entries again when their turn has come.
    func fetchParked(of share: Share) async {
        while !Task.isCancelled && !isFinished {
            let lanes = Array(states[share.index].fetches.prefix(32))
            guard !lanes.isEmpty else {
                await share.fetchAlarm.wait(for: .seconds(1))
                continue
            }
            states[share.index].fetches.removeFirst(lanes.count)
            do throws(RedisError) {
                try await fetch(lanes)
            } catch {
                for lane in lanes where !lane.isDropped { states[share.index].fetches.append(lane) }
                logger.debug("cannot read parked events", metadata: ["reason": "\(error)"])
                await share.fetchAlarm.wait(for: .milliseconds(100))
            }
        }
    }

    private func fetch(_ lanes: [KeyLane]) async throws(RedisError) {
        let readAt = ContinuousClock.now
        var pipeline = RedisPipeline()
        var wanted: [(lane: KeyLane, parked: [KeyLane.Parked])] = []
        for lane in lanes where !lane.isDropped {
            let parked = schedule.fetch(lane)
            for entry in parked { pipeline.append(.xrange(entry.stream.key, entry.id...entry.id)) }
            if !parked.isEmpty { wanted.append((lane, parked)) }
        }
        guard pipeline.count > 0 else { return }
        var replies = try await broker.client.send(pipeline).makeIterator()
        for (lane, parked) in wanted {
            var found: [HeldEntry] = []
            for place in parked {
                let entries = try replies.next()?.get().list { StreamEntry($0) } ?? []
                guard !lane.isDropped else { continue }
                guard let entry = entries.first else {
                    let gone = HeldEntry(.unreadable, at: place.id, of: place.stream, claimedUntil: readAt)
                    hold(gone)
                    // Settling finds it gone, and counts it as lost.
                    finish(gone, .dead(failedAttempts: 0, reason: "deleted before it was handled"))
                    continue
                }
                if let entry = decode(entry, of: place.stream, claimedUntil: readAt) { found.append(entry) }
            }
            guard !lane.isDropped else { continue }
            if hasStoppedReading { continue }
            for entry in found { hold(entry) }
            if let more = schedule.fetched(found, of: parked.count, in: lane) { readParked(of: more) }
        }
        wakeLane()
    }
}
