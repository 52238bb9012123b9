internal import Hiredis
internal import Logging

/// Reading deferred events again when their turn has come.
extension Consumer {
    /// A retry will not be handled here: its key need not wait for it. A replay's copy of the same event is
    /// no retry.
    func goOn(without retry: DecodedFields, _ partition: Int) {
        guard let position = retry.originalID, retry.replayID == nil || retry.failedAttempts > 0 else {
            return
        }
        goOn(without: position, of: retry.event.partitionKey, partition)
    }

    /// The retry of the event at this position will not come: its key need not wait for it.
    func goOn(without position: StreamID, of key: String?, _ partition: Int) {
        guard isOrdered, let key else { return }
        if let queue = schedule.unblock(partition: partition, key: key, position: position) {
            fetchDeferred(of: queue)
        }
        if schedule.hasReady { wakeLane() }
    }

    /// The next deferred entries of a key are wanted.
    func fetchDeferred(of queue: KeyQueue) {
        let share = share(of: queue.partition)
        states[share.index].fetches.append(queue)
        share.fetchAlarm.ring()
    }

    /// Reads deferred entries again when their turn has come.
    func fetchDeferred(of share: Share) async {
        while !Task.isCancelled && !isFinished {
            let queues = Array(states[share.index].fetches.prefix(32))
            guard !queues.isEmpty else {
                await share.fetchAlarm.wait(for: .seconds(1))
                continue
            }
            states[share.index].fetches.removeFirst(queues.count)
            do throws(RedisError) {
                try await fetch(queues)
                try await search(for: queues)
            } catch {
                logger.debug("cannot read deferred events", metadata: ["reason": "\(error)"])
                await share.fetchAlarm.wait(for: .milliseconds(100))
            }
            for queue in queues where schedule.wantsFetch(queue) {
                states[share.index].fetches.append(queue)
            }
        }
    }

    /// Reads the next entries of these keys. A reply that is missing or an error leaves its key's entries
    /// deferred.
    private func fetch(_ queues: [KeyQueue]) async throws(RedisError) {
        let readAt = clock.now
        var pipeline = RedisPipeline()
        var wanted: [(queue: KeyQueue, deferred: [KeyQueue.Deferred])] = []
        for queue in queues {
            let deferred = schedule.fetch(queue)
            for entry in deferred { pipeline.append(.xrange(entry.stream.key, entry.id...entry.id)) }
            if !deferred.isEmpty { wanted.append((queue, deferred)) }
        }
        guard pipeline.count > 0 else { return }
        var replies: [RedisReply] = []
        var failure: RedisError?
        do throws(RedisError) { replies = try await Array(broker.client.send(pipeline)) } catch {
            failure = error
        }
        var next = replies.startIndex
        for (queue, deferred) in wanted {
            let own = replies[min(next, replies.endIndex)..<min(next + deferred.count, replies.endIndex)]
            next += deferred.count
            var entries: [StreamEntry?] = []
            for reply in own {
                do throws(RedisError) {
                    entries.append(try reply.get().list { StreamEntry($0) }?.first)
                } catch {
                    failure = failure ?? error
                }
            }
            guard !queue.isDropped else { continue }
            if entries.count == deferred.count, !hasStoppedReading {
                takeUp(entries, deferred, of: queue, readAt)
            } else {
                schedule.fetchFailed(queue)
            }
        }
        wakeLane()
        if let failure { throw failure }
    }

    private func takeUp(
        _ entries: [StreamEntry?], _ deferred: [KeyQueue.Deferred], of queue: KeyQueue,
        _ readAt: ContinuousClock.Instant
    ) {
        var found: [HeldEntry] = []
        for (place, entry) in zip(deferred, entries) {
            guard let entry else {
                let gone = HeldEntry(.unreadable, at: place.id, of: place.stream, claimedUntil: readAt)
                hold(gone)
                // Settling finds it gone, and counts it as lost.
                finish(gone, .dead(failedAttempts: 0, reason: "deleted before it was handled"))
                continue
            }
            guard let held = decode(entry, of: place.stream, claimedUntil: readAt) else { continue }
            if held.content.event.partitionKey == queue.key {
                found.append(held)
            } else {
                // The server has lost the entry that had this id, and has given the id to another.
                tenures[queue.partition].needsRestart = true
            }
        }
        // What is wanted next is seen when all of this round have been read.
        if schedule.fetched(found, of: deferred.count, in: queue).areTaken {
            for entry in found { hold(entry) }
        }
    }

    /// Looks through the pending list for entries of keys whose ids were not kept.
    private func search(for queues: [KeyQueue]) async throws(RedisError) {
        while let search = schedule.search(
            for: queues, newest: { tenures[$0.partition].newest[$0.isRedelivery] })
        {
            do throws(RedisError) {
                let page = try await pendingPage(
                    of: search.stream, from: "\(search.from)", through: "\(search.through)",
                    on: broker.client)
                schedule.searched(search, page)
                options.observeSearch?()
            } catch {
                schedule.searched(search, nil)
                throw error
            }
            // Its keys are tried again when their first entries are found, or in the next round.
            if queues.contains(where: { !$0.deferred.isEmpty }) { return }
        }
    }

    /// A page of what this consumer holds of a stream.
    func pendingPage(of stream: ReadStream, from: String, through: String = "+", on client: RedisClient)
        async throws(RedisError) -> PendingPage
    {
        let limits: [any RedisArgument] = [from, through, options.limits.page]
        let reply = try await LeaseScripts.pendingKeys.run(
            on: client, keys: [stream.key], arguments: [group.rawValue, name.rawValue] + limits)
        guard let parts = reply.array.map(Array.init), parts.count == 2, let found = parts[0].array else {
            throw RedisError(.unexpectedReply, "unexpected reply format of a list of pending entries")
        }
        var page = PendingPage(entries: [], last: parts[1].streamID)
        var iterator = found.makeIterator()
        while let id = iterator.next()?.streamID, let key = iterator.next()?.string {
            page.entries.append((id, key.isEmpty ? nil : String(key.dropFirst())))
        }
        return page
    }
}
