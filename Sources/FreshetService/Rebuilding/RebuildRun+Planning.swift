internal import Freshet
internal import FreshetRecords
internal import FreshetReplay
internal import Hiredis

/// What of the history the service has handled.
extension RebuildRun {
    /// What is to be done with entries that are met for the first time.
    ///
    /// - Parameters:
    ///   - handled: what the inbox in use has got meanwhile; nil while the rebuild is on its way through the history for the first time.
    ///   - open: the transaction in which to look; nil for none.
    func plan(
        _ entries: [MergedHistory.Entry], handled: Set<Shadow.EventName>? = nil,
        within open: OpenTransaction? = nil
    ) async throws -> RebuildBatch {
        var batch = RebuildBatch()
        batch.first = entries.first?.entry.id ?? .zero
        batch.count = entries.count
        report.events.read += entries.count
        var events: [(entry: MergedHistory.Entry, event: Event)] = []
        var unsure: [Shadow.EventName] = []
        for entry in entries {
            guard let event = try? entry.entry.logEvent() else {
                report.events.unreadable += 1
                continue
            }
            events.append((entry, event))
            if handled == nil, isUnsure(entry, event) { unsure.append(Shadow.EventName(event)) }
        }
        guard let handled else {
            let known = try await shadow.handled(among: unsure)
            for (entry, event) in events { add(entry, event, known, isFirstTime: true, to: &batch) }
            return batch
        }
        let others = events.map { Shadow.EventName($0.event) }.filter { !handled.contains($0) }
        // Behind the group's position, and handled all the same: it was set back.
        let met = try await shadow.met(among: others, within: open)
        var known = handled
        // Before what the service has said comes what made it say so.
        if open == nil {
            known.formUnion(try await shadow.handled(among: others.filter { !met.contains($0) }))
        }
        for (entry, event) in events {
            add(entry, event, known, isFirstTime: false, isMet: met.contains(.init(event)), to: &batch)
        }
        return batch
    }

    /// Whether only the inbox knows if the entry was handled.
    private func isUnsure(_ entry: MergedHistory.Entry, _ event: Event) -> Bool {
        guard let log = logs[entry.place], let subscription = log.subscription,
            !subscription.isOnlyForRebuild(event.type)
        else { return false }
        return !log.settled.contains(entry.entry.id)
    }

    private func add(
        _ entry: MergedHistory.Entry, _ event: Event, _ handled: Set<Shadow.EventName>, isFirstTime: Bool,
        isMet: Bool = false, to batch: inout RebuildBatch
    ) {
        guard let log = logs[entry.place] else { return }
        let id = entry.entry.id
        let isNew = isFirstTime || id > log.scannedTo
        if event.source == source, isNew {
            batch.own.append(.init(topic: entry.place.topic.name, event: event))
        }
        guard let subscription = log.subscription else { return }
        let name = Shadow.EventName(event)
        if subscription.isOnlyForRebuild(event.type) {
            guard isNew else { return }
        } else {
            guard handled.contains(name) || isFirstTime && log.settled.contains(id) else {
                // Behind the group's position it is looked at again.
                guard id <= log.decidedTo, !isMet else { return }
                report.events.notHandled += 1
                // What came before the group's start is not its business.
                if id > log.settled.start { skipped[name] = RebuildPlace(log: entry.place, id: id) }
                return
            }
            if skipped.removeValue(forKey: name) != nil { report.events.notHandled -= 1 }
        }
        add(
            subscription.rebuildStep(
                event, partition: entry.place.partition, position: id, replayID: report.id), to: &batch)
    }

    func add(_ step: RebuildStep, to batch: inout RebuildBatch) {
        switch step {
        case .handle(let delivery, let handle): batch.steps.append(.init(delivery: delivery, handle: handle))
        case .passOver(let delivery): batch.passedOver.append(delivery)
        case .unreadable: report.events.unreadable += 1
        }
    }

    /// Events of the outbox: follow-ups that are on their way, and what the service has said and nobody has read.
    func plan(_ outbox: [OutboxEvent]) -> RebuildBatch {
        var batch = RebuildBatch()
        for waiting in outbox {
            batch.own.append(.init(topic: waiting.topic.name, event: waiting.event))
            let partition = waiting.topic.partition(ofKey: waiting.event.partitionKey ?? waiting.event.id)
            let log = logs[.init(topic: waiting.topic, partition: partition)]
            guard let subscription = log?.subscription, subscription.isOnlyForRebuild(waiting.event.type)
            else { continue }
            add(
                subscription.rebuildStep(
                    waiting.event, partition: partition, position: .zero, time: waiting.event.time,
                    replayID: report.id), to: &batch)
        }
        return batch
    }
}
