internal import Hiredis
internal import Logging

/// Reading parked events again when their turn has come.
extension Consumer {
    /// A retry will not be handled here: its key need not wait for it.
    func goOn(without retry: DecodedFields, _ partition: Int) {
        guard isOrdered, let key = retry.event.partitionKey, let position = retry.originalID else {
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
        let readAt = clock.now
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
