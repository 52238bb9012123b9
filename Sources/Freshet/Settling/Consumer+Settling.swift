internal import Hiredis
internal import Logging

/// Settling in batches without a timer: while one batch is under way the next one gathers.
extension Consumer {
    /// Ends a delivery: the settler does it soon, and until then the entry is held and its claim renewed.
    func finish(_ place: Entry.Place, _ settlement: Settlement) {
        let share = share(of: place.stream)
        states[share.index].settlements.append((place, settlement))
        wakeSettler(of: share)
    }

    /// Settles what the others finish, until nothing will come any more or the task is cancelled. A task of its own for
    /// each share: under load it has always something to do, and a node that is away is to hold up no other.
    func settleAll(of share: Share) async {
        while !Task.isCancelled {
            let batch = states[share.index].settlements
            states[share.index].settlements = []
            if !batch.isEmpty {
                await settle(batch)
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

    private func settle(_ batch: [(place: Entry.Place, settlement: Settlement)]) async {
        // What was read or renewed less than a lease ago nobody can have claimed: there XACK alone is as safe as the
        // script, and takes a whole batch. A little of the lease is left for the way to the server.
        let safe = ContinuousClock.now + options.lease / 5
        var plain: [ReadStream: [Entry.Place]] = [:]
        var others: [(place: Entry.Place, settlement: Settlement)] = []
        for (place, settlement) in batch {
            if case .acknowledged = settlement, let held = held[place], held.claimedUntil > safe {
                plain[place.stream, default: []].append(place)
            } else {
                others.append((place, settlement))
            }
        }
        for (stream, places) in plain { await acknowledge(places, of: stream) }
        for (place, settlement) in others {
            await persist { () async throws(RedisError) in try await self.perform(settlement, of: place) }
            forget(place)
        }
    }

    private func acknowledge(_ places: [Entry.Place], of stream: ReadStream) async {
        var pipeline = RedisPipeline()
        let ids = places.map(\.id)
        pipeline.append(.xack(stream.key, group.rawValue, ids))
        if stream.isRedelivery { pipeline.append(.xdel(stream.key, ids)) }
        let command = pipeline
        await persist { () async throws(RedisError) in
            for reply in try await self.broker.client.send(command) { try reply.get() }
            self.counters.add(.acknowledged, places.count)
        }
        for place in places { forget(place) }
    }

    private func perform(_ settlement: Settlement, of place: Entry.Place) async throws(RedisError) {
        let keys = broker.keys(topic.name, place.stream.partition)
        let delete = place.stream.isRedelivery ? 1 : 0
        let who: [any RedisArgument] = [group.rawValue, name.rawValue, delete, place.id]
        let client = broker.client
        let reply: RedisReply
        switch settlement {
        case .acknowledged:
            reply = try await Scripts.acknowledge.run(on: client, keys: [place.stream.key], arguments: who)
        case .scheduled(let pause, let failed, let reason):
            let milliseconds = pause.inMilliseconds
            reply = try await Scripts.schedule.run(
                on: client, keys: [place.stream.key, keys.delayed(group)],
                arguments: who + [milliseconds, Field.attempt, failed, Field.reason, Self.cut(reason)])
            promote(share(of: place.stream), in: pause)
        case .dead(let failed, let reason):
            reply = try await Scripts.move.run(
                on: client, keys: [place.stream.key, keys.dead(group)],
                arguments: who + [Field.attempt, failed, Field.reason, Self.cut(reason)] + Self.failedNow)
        case .invalid(let reason):
            reply = try await Scripts.move.run(
                on: client, keys: [place.stream.key, keys.invalid(group)],
                arguments: who + [Field.reason, Self.cut(reason)] + Self.failedNow)
        case .released:
            reply = try await Scripts.move.run(
                on: client, keys: [place.stream.key, keys.redelivery(group)], arguments: who)
        }
        switch reply.integer {
        case 1: counters.add(settlement.outcome)
        case 0: counters.add(.lost)
        default:
            counters.add(.fenced)
            logger.info("another consumer had taken the event", metadata: ["entry": "\(place.id)"])
        }
    }

    private static var failedNow: [any RedisArgument] { [Field.failedAt, Timestamp.now().description] }

    /// A reason is for people; a handler's error can be a page.
    private static func cut(_ reason: String) -> String {
        reason.count <= 2000 ? reason : reason.prefix(2000) + "…"
    }

    /// Until it is done: repeating a settlement that ran after all finds the entry settled and changes nothing.
    private func persist(_ action: () async throws(RedisError) -> Void) async {
        var pause = Duration.milliseconds(20)
        while true {
            do throws(RedisError) {
                return try await action()
            } catch {
                let isGone = error.serverCode == .noGroup
                guard error.isRetryable, !Task.isCancelled else {
                    if error.code != .cancelled, !isGone {
                        logger.error(
                            "cannot settle; the event will come again", metadata: ["reason": "\(error)"])
                    }
                    return
                }
            }
            try? await Task.sleep(for: pause)
            pause = min(pause * 2, .seconds(1))
        }
    }
}
