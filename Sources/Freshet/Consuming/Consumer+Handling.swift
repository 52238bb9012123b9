internal import Hiredis
internal import Logging
internal import Tracing

/// Running handlers, and from what they do to how the delivery ends.
extension Consumer {
    // MARK: - Handlers

    /// - Parameter began: when the work began; afterwards when its handler ended.
    func run(_ work: Lanes.Work, since began: inout Nanoseconds) async {
        switch work {
        case .one(let entry) where entry.suspicion > 0:
            await runSuspect(entry) {
                var began = self.metrics.now
                await self.run(entry, since: &began)
            }
            began = metrics.now
        case .batch(let entries, let batch) where entries.contains { $0.suspicion > 0 }:
            await runSuspect(entries[0]) {
                var began = self.metrics.now
                await self.run(entries, batch, since: &began)
            }
            began = metrics.now
        case .one(let entry): await run(entry, since: &began)
        case .batch(let entries, let batch): await run(entries, batch, since: &began)
        }
    }

    private func run(_ entry: HeldEntry, since began: inout Nanoseconds) async {
        guard let handler = entry.handler else { return }
        var failedAttempts = entry.content.failedAttempts
        // Then nothing is recorded here, and the lane's context says how it goes on.
        let isUnrecorded = (tracing?.followsParents ?? false) && entry.content.event.isInUnrecordedTrace
        Drill.reached(.beforeHandler)
        while true {
            if isUnrecorded {
                HandledNow.here?.set(unrecorded: entry, failedAttempts + 1)
            } else {
                HandledNow.here?.set(entry, failedAttempts + 1)
            }
            do {
                let handle: On.Handle
                switch handler.call {
                case .plain(let plain): handle = plain
                case .decoded(let prepare):
                    guard let prepared = prepared(entry, by: prepare) else { return }
                    handle = prepared
                case .batch: return
                }
                var delivery = delivery(of: entry, failedAttempts)
                if let tracing, !isUnrecorded {
                    let (context, span) = ProcessSpan.begin(delivery, tracing)
                    (entry.process, delivery.process) = (span, span)
                    let traced = delivery
                    try await Self.traced(context, span) { try await handle(traced) }
                } else {
                    try await handle(delivery)
                }
                metrics.handled(since: &began)
                return succeeded(entry)
            } catch {
                metrics.handled(since: &began)
                if error is StaleOwner { giveUpPartition(of: entry) }
                if Task.isCancelled || error is StaleOwner { return abandon(entry) }
                failedAttempts += 1
                if let settlement = failed(entry, error, failedAttempts) { return end(entry, settlement) }
                if isDraining {
                    // The next attempt is another consumer's, at once.
                    let reason = "\(error)"
                    return end(
                        entry,
                        .scheduled(
                            after: .milliseconds(1), failedAttempts: failedAttempts, reason: reason))
                }
                if isOrdered, !mayStart(entry) { return }
            }
        }
    }

    /// A handler's run in this context, whose end is that of the span.
    private static func traced(
        _ context: ServiceContext, _ span: ProcessSpan?, _ handle: () async throws -> Void
    ) async throws {
        do {
            try await ServiceContext.withValue(context, operation: handle)
            span?.end()
        } catch {
            span?.end(error)
            throw error
        }
    }

    /// The handler with the payload that it wants; nil when the data is not of that shape. The entry is settled then.
    private func prepared(_ entry: HeldEntry, by prepare: On.Prepare) -> On.Handle? {
        do throws(FreshetError) { return try prepare(entry.content.event) } catch {
            endInvalid(entry, error)
            return nil
        }
    }

    /// A batch as one; when that fails, each of its events alone.
    private func run(_ entries: [HeldEntry], _ batch: BatchCall, since began: inout Nanoseconds) async {
        var (members, handled) = ([BatchCall.Member](), [HeldEntry]())
        for entry in entries {
            do throws(FreshetError) {
                let payload = try batch.decode(entry.content.event)
                members.append(
                    .init(payload: payload, delivery: delivery(of: entry, entry.content.failedAttempts)))
                handled.append(entry)
            } catch { endInvalid(entry, error) }
        }
        guard !members.isEmpty else { return }
        if handled.count == 1 {
            HandledNow.here?.set(handled[0], handled[0].content.failedAttempts + 1)
        } else {
            HandledNow.here?.set(nil, handled.count)
        }
        do {
            var handling: ([BatchCall.Member]) async throws -> Void = batch.handle
            if let tracing {
                let deliveries = members.map(\.delivery)
                let (context, span) = ProcessSpan.begin(deliveries[0], and: deliveries.dropFirst(), tracing)
                for entry in handled { entry.process = span }
                for index in members.indices { members[index].delivery.process = span }
                handling = { members in
                    try await Self.traced(context, span) { try await batch.handle(members) }
                }
            }
            try await handling(members)
            metrics.handled(since: &began)
            for entry in handled { succeeded(entry) }
        } catch {
            metrics.handled(since: &began)
            if error is StaleOwner { handled.forEach(giveUpPartition) }
            if Task.isCancelled || error is StaleOwner { return handled.forEach(abandon) }
            if members.count > 1 {
                logger.info("a batch failed, trying its events one by one", metadata: ["reason": "\(error)"])
                for entry in handled where mayRunAgain(entry) { await run([entry], batch, since: &began) }
            } else {
                let (entry, failedAttempts) = (handled[0], handled[0].content.failedAttempts + 1)
                // Nothing at once and in place: alone it has just been tried again.
                end(
                    entry,
                    failed(entry, error, failedAttempts)
                        ?? .scheduled(
                            after: .milliseconds(1), failedAttempts: failedAttempts, reason: "\(error)"))
            }
        }
    }

    /// Whether an event of a failed batch is handled alone now; otherwise it is not held any more.
    private func mayRunAgain(_ entry: HeldEntry) -> Bool {
        if isDraining {
            handBack(entry)
            return false
        }
        return !isOrdered || mayStart(entry)
    }

    private func delivery(of entry: HeldEntry, _ failedAttempts: Int) -> Delivery {
        Delivery(
            event: entry.content.event, group: group, topic: topic.name, partition: entry.stream.partition,
            position: entry.logPosition, attempt: failedAttempts + 1,
            replay: entry.content.replayID.map {
                DeliveryReplay(id: $0, mode: .redeliver, firstAt: entry.logPosition)
            }, claim: entry.claim, isHistory: isHistory(entry.logPosition))
    }

    // MARK: - Endings

    private func succeeded(_ entry: HeldEntry) {
        Drill.reached(.beforeAcknowledge)
        if breaker.succeeded() { breakerClosed() }
        end(entry, .acknowledged)
    }

    private func endInvalid(_ entry: HeldEntry, _ error: FreshetError) {
        logger.warning("invalid event", metadata: ["entry": "\(entry.id)", "reason": "\(error)"])
        probeEnded(entry)
        if let tracing {
            let delivery = delivery(of: entry, entry.content.failedAttempts)
            entry.process = ProcessSpan.begin(delivery, tracing).span
            entry.process?.end(error)
        }
        end(entry, .invalid(reason: error.message))
    }

    /// How the delivery ends; nil when the handler is to try again at once.
    private func failed(_ entry: HeldEntry, _ error: any Error, _ failedAttempts: Int) -> Settlement? {
        let next = options.retry.next(after: error, failedAttempts: failedAttempts)
        let event = entry.content.event
        var metadata = event.metadata(attempt: failedAttempts)
        metadata["reason"] = "\(error)"
        switch next {
        case .settle(.acknowledged), .settle(.invalid):
            logger.info("the handler threw, and the policy says that it is no failure", metadata: metadata)
            if breaker.succeeded() { breakerClosed() }
        case .settle(.dead) where options.retry.response(to: error) == .deadLetter:
            logger.error("dead letter: the policy says so", metadata: metadata)
            probeEnded(entry)
        default:
            if breaker.failed(isProbe: entry.isProbe, at: clock.now) {
                metrics.breaker(isOpen: true)
                logger.error(
                    "all handlers fail, pausing",
                    metadata: ["pause": "\(options.breaker.pause)", "reason": "\(error)"])
                shares[0].upkeepAlarm.ring()
            }
            if entry.isProbe {
                // It was only a look whether handlers work again: no attempt was used.
                metrics.retried()
                shares[0].upkeepAlarm.ring()
                let failedBefore = entry.content.failedAttempts
                return .scheduled(
                    after: options.breaker.pause, failedAttempts: failedBefore, reason: "\(error)")
            }
        }
        guard case .settle(let settlement) = next else {
            metrics.retried()
            return nil
        }
        switch settlement {
        // The policy's have been logged.
        case .dead where options.retry.response(to: error) != .deadLetter:
            logger.error("dead letter: the attempts are used up", metadata: metadata)
        case .scheduled:
            metrics.retried()
            logger.info("the handler threw, trying again later", metadata: metadata)
        default: break
        }
        return settlement
    }

    private func breakerClosed() {
        metrics.breaker(isOpen: false)
        logger.notice("handlers work again")
        for share in shares { share.alarm.ring() }
    }

    /// The partition is another consumer's by now, unless we have it again.
    private func giveUpPartition(of entry: HeldEntry) {
        let partition = entry.stream.partition
        if isOrdered, tenures[partition].claim == entry.claim { lose(partition) }
    }

    /// The handler was cancelled, its partition is lost, or the entry is this consumer's no more: it is not
    /// settled here.
    func abandon(_ entry: HeldEntry) {
        if Task.isCancelled { leaveUnsettled(1) }
        probeEnded(entry)
        forget(entry)
    }

    /// The entry is not pending here any more. With an order its key goes on as soon as what the server has
    /// of it is known: a retry, or the event once more.
    func leaveToServer(_ entry: HeldEntry) {
        probeEnded(entry)
        finished(entry, .comesBack)
        forget(entry)
        if isOrdered { tenures[entry.stream.partition].needsRestart = true }
    }

    /// A probe ended without an answer: the next one may start.
    func probeEnded(_ entry: HeldEntry) {
        guard entry.isProbe else { return }
        breaker.probeEnded(at: clock.now)
        shares[0].upkeepAlarm.ring()
    }

    /// The handler has ended: the next of its key may start, and the delivery is settled.
    private func end(_ entry: HeldEntry, _ settlement: Settlement) {
        if case .scheduled = settlement { finished(entry, .comesBack) } else { finished(entry, .over) }
        finish(entry, settlement)
    }

    /// What waits behind the entry goes on, or is deferred until it comes back.
    private func finished(_ entry: HeldEntry, _ ending: Schedule.Ending) {
        guard entry.queue != nil else { return }
        let (deferred, fetch) = schedule.finished(entry, ending)
        for entry in deferred { forget(entry) }
        if let fetch { fetchDeferred(of: fetch) }
    }
}
