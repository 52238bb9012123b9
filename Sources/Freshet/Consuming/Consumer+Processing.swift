internal import Hiredis
internal import Logging

/// From an entry to its ending. Runs beside the actor, not on it: handlers must not wait for one another.
extension Consumer {
    nonisolated func process(_ entry: Entry) async {
        guard await acquireSlot() else { return await finish(entry.place, .released) }
        let settlement = await outcome(of: entry.fields, at: entry.place)
        await releaseSlot()
        if let settlement {
            await finish(entry.place, settlement)
        } else {
            await forget(entry.place)
        }
    }

    /// Nil when the handler was cancelled: the entry stays pending, for another consumer after the lease.
    private nonisolated func outcome(of fields: RedisReplies, at place: Entry.Place) async -> Settlement? {
        let decoded: DecodedFields
        let handler: On
        let call: On.Prepared
        do throws(FreshetError) {
            decoded = try DecodedFields(fields, entry: place.id, trusted: place.stream.isRedelivery)
            guard let found = handlers[decoded.event.type] else {
                counters.add(.ignored)
                return .acknowledged
            }
            handler = found
            guard decoded.event.schemaVersion <= handler.newestVersion else {
                throw FreshetError(
                    .invalidEvent,
                    "schemaversion \(decoded.event.schemaVersion) is newer than \(handler.newestVersion), the newest known"
                )
            }
            call = try handler.prepare(decoded.event)
        } catch {
            logger.warning("invalid event", metadata: ["entry": "\(place.id)", "reason": "\(error)"])
            return .invalid(reason: error.message)
        }
        let attempt = decoded.failedAttempts + 1
        let delivery = Delivery(
            event: decoded.event, group: group, topic: topic.name, partition: place.stream.partition,
            position: decoded.originalID ?? place.id, attempt: attempt, replayID: decoded.replayID)
        do {
            try await call(delivery)
            return .acknowledged
        } catch {
            if Task.isCancelled { return nil }
            return failure(error, of: decoded.event, attempt: attempt)
        }
    }

    private nonisolated func failure(_ error: any Error, of event: Event, attempt: Int) -> Settlement {
        let reason = "\(error)"
        let metadata: Logger.Metadata = [
            "event": "\(event.id)", "type": "\(event.type)", "correlation": "\(event.correlationID ?? "")",
            "attempt": "\(attempt)", "reason": "\(reason)",
        ]
        if attempt >= options.retry.maximumAttempts {
            logger.error("dead letter: the attempts are used up", metadata: metadata)
            return .dead(failedAttempts: attempt, reason: reason)
        }
        logger.info("the handler threw, trying again later", metadata: metadata)
        return .scheduled(
            after: options.retry.pause(afterAttempt: attempt), failedAttempts: attempt, reason: reason)
    }
}
