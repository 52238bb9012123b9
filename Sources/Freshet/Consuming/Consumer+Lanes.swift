internal import DequeModule
internal import Hiredis
internal import Tracing

/// The tasks that run handlers, and what each runs next.
extension Consumer {
    /// Nothing will start any more.
    private var isOver: Bool { isFinished || hasStoppedReading && Task.isCancelled }

    /// How many more lanes are wanted, as soon as there are any; nil when none will be any more.
    func lanesWanted() async -> Int? {
        while lanes.wanted == 0 {
            guard !isOver else { return nil }
            await withCheckedContinuation { continuation in
                if lanes.wanted == 0 && !isOver {
                    lanes.maker = continuation
                } else {
                    continuation.resume()
                }
            }
        }
        defer { lanes.wanted = 0 }
        return lanes.wanted
    }

    private func wakeMaker() {
        let maker = lanes.maker
        lanes.maker = nil
        maker?.resume()
    }

    /// Sees to it that a lane looks for work.
    func wakeLane() {
        guard !lanes.isOneComing else { return }
        if let lane = lanes.idle.popFirst() {
            lanes.isOneComing = true
            lane.resume()
        } else if lanes.count < options.concurrency {
            lanes.isOneComing = true
            lanes.count += 1
            lanes.wanted += 1
            wakeMaker()
        }
    }

    /// All look: there is nothing left to wait for.
    func wakeAllLanes() {
        while let lane = lanes.idle.popFirst() { lane.resume() }
        wakeMaker()
    }

    func runLane() async {
        let handled = HandledNow(topic.name, group)
        await HandledNow.$here.withValue(handled) {
            guard let tracing, tracing.followsParents else { return await runLane(saying: handled) }
            // Whoever runs the subscription is no part of its events' stories.
            await ServiceContext.withValue(.topLevel.of(handled)) { await runLane(saying: handled) }
        }
    }

    private func runLane(saying handled: HandledNow) async {
        var turnBegan = ContinuousClock.now
        var inTurn = 0
        lanes.isOneComing = false
        // Of the handler that comes next: where the last one ended.
        var began = metrics.now
        defer { metrics.running(running) }
        while !isOver {
            guard let work = nextWork() else {
                metrics.running(running)
                handled.set(nil, 0)
                await withCheckedContinuation { continuation in
                    // Asked again here: a task from elsewhere is queued anew at each `await`.
                    if isOver || schedule.hasReady && breaker.isClosed && !isDraining {
                        continuation.resume()
                    } else {
                        lanes.idle.append(continuation)
                    }
                }
                lanes.isOneComing = false
                (turnBegan, inTurn) = (.now, 0)
                began = metrics.now
                continue
            }
            if schedule.hasReady { wakeLane() }
            running += work.count
            work.begin()
            metrics.running(running)
            await run(work, since: &began)
            running -= work.count
            inTurn += 1
            if inTurn & 15 == 0, ContinuousClock.now - turnBegan > .milliseconds(2) {
                // Handlers that compute must not starve the sockets.
                await Task.yield()
                turnBegan = .now
                began = metrics.now
            }
        }
    }

    /// What a lane runs next; nil when it must wait.
    private func nextWork() -> Lanes.Work? {
        if isDraining { return nil }
        var permission = breaker.isClosed ? .anything : breaker.permission(at: clock.now)
        while permission != .nothing, let entry = schedule.next() {
            if isOrdered, !mayStart(entry) { continue }
            guard let handler = entry.handler else { continue }
            if permission == .probe {
                entry.isProbe = true
                breaker.probeStarted()
                permission = .nothing
            }
            guard case .batch(let batch) = handler.call else { return .one(entry) }
            if entry.isProbe || entry.suspicion > 0 { return .batch([entry], batch) }
            let place = ObjectIdentifier(handler)
            if lanes.gathering[place] == nil {
                lanes.gathering[place] = .init(batch: batch, entries: [], due: clock.now + batch.longest)
                shares[0].upkeepAlarm.ring()
            }
            lanes.gathering[place]?.entries.append(entry)
            if let gathered = lanes.gathering[place], gathered.entries.count >= batch.most {
                lanes.gathering[place] = nil
                return .batch(stillOurs(gathered.entries), batch)
            }
        }
        guard !lanes.gathering.isEmpty, breaker.isClosed else { return nil }
        let now = clock.now
        for (place, gathered) in lanes.gathering where gathered.due <= now {
            lanes.gathering[place] = nil
            return .batch(stillOurs(gathered.entries), gathered.batch)
        }
        return nil
    }

    /// A partition may have been lost while a batch gathered.
    private func stillOurs(_ entries: [HeldEntry]) -> [HeldEntry] {
        isOrdered ? entries.filter(mayStart) : entries
    }
}
