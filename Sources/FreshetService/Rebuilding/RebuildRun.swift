internal import Freshet
internal import FreshetRecords
internal import FreshetReplay
internal import Hiredis
internal import Logging

/// One rebuild, from the first entry of the history to the swap.
actor RebuildRun {
    static let batchSize = 512

    let worker: Worker
    let options: RebuildOptions
    let shadow: Shadow
    let line: RebuildLine
    let source: String
    var report: RebuildReport
    var logs: [MergedHistory.Place: RebuildLog] = [:]
    var followUps = FollowUps()
    /// The topics in which follow-ups are looked for.
    var sendsTo: Set<Topic> = []
    /// Those of them whose events are deleted once they are handled.
    var queues: Set<Topic> = []
    /// What was not handled when it was met, or not yet.
    var skipped: [Shadow.EventName: RebuildPlace] = [:]
    /// Handled, and not in the history.
    var gaps: Set<Shadow.EventName> = []
    var merged = MergedHistory()
    /// Where logs ended when they were last looked at.
    var newest: [MergedHistory.Place: StreamID] = [:]
    private let subscriptions: [Subscription]
    private let archive: Archive?
    private let onProgress: @Sendable (Int, Int) -> Void
    private let began = ContinuousClock.now

    init(
        _ worker: Worker, _ options: RebuildOptions, _ shadow: Shadow, _ line: RebuildLine,
        _ subscriptions: [Subscription], _ onProgress: @escaping @Sendable (Int, Int) -> Void
    ) throws {
        self.onProgress = onProgress
        archive = try options.archive.map { try Archive($0) }
        self.worker = worker
        self.options = options
        self.shadow = shadow
        self.line = line
        self.subscriptions = subscriptions
        source = worker.records.source
        report = RebuildReport(service: worker.records.source, id: EventID.make())
    }

    func run() async throws -> RebuildReport {
        var mark = try await shadow.mark()
        let start = mark
        let total = try await open()
        worker.logger.notice("rebuilding", metadata: ["rebuild": "\(report.id)", "entries": "\(total)"])
        try await applyHistory(total: total)
        let unmet = try await shadow.unmet(before: start)
        report.gaps.handled += unmet.count
        report.gaps.examples += unmet.some.map(\.description)
        try refuseGaps()
        mark = try await catchUp(from: mark)
        report.tables = try await shadow.compare()
        try await shadow.prepareToReplace()
        mark = try await catchUp(from: mark)
        try refuseGaps()
        if options.isDryRun {
            try await lookAtScheduled()
            note(followUps.missing)
        } else {
            try await replace(from: mark)
        }
        let seconds = (ContinuousClock.now - began) / .seconds(1)
        report.seconds = seconds
        return report
    }

    // MARK: - The history

    /// Finds out what there is, and what of it the group has settled. Returns how many entries there are to read.
    private func open() async throws -> Int {
        var total = 0
        for subscription in subscriptions {
            let topic = subscription.topic
            guard topic.kind == .log else {
                throw ToolError(
                    .failed, "'\(topic.name)' is a queue: its events are gone once they are handled")
            }
            try await lookForFollowUps(in: topic)
            for partition in 0..<topic.partitions {
                var log = RebuildLog(
                    history: History(of: topic, on: worker.broker, archive: archive), partition: partition,
                    subscription: subscription)
                log.settled = try await worker.broker.settledEntries(
                    of: worker.settings.group, topic: topic, partition: partition)
                let (newest, length, lost) = try await extent(of: &log)
                // What the group never wanted it does not miss.
                if lost > 0, log.settled.start < log.lostTo {
                    report.gaps.trimmed[topic.name.rawValue, default: 0] += lost
                }
                log.decidedTo = log.settled.delivered
                log.scannedTo = newest
                total += length
                logs[log.place] = log
                await merged.add(log.history, partition: partition, in: .zero...newest)
            }
        }
        return total
    }

    /// Where a log ends, how long it is with what is archived of it, and how many entries are in neither.
    private func extent(of log: inout RebuildLog) async throws -> (
        newest: StreamID, length: Int, lost: Int
    ) {
        let topic = log.history.topic.name
        let info: StreamInfo
        do throws(RedisError) {
            info = try await worker.broker.client.send(
                .xinfoStream(worker.broker.keys(topic, log.partition).events))
        } catch {
            if error.message.contains("no such key") { return (.zero, 0, 0) }
            throw error
        }
        let added = info.entriesAdded ?? info.length
        // What is in neither of them stops the rebuild where it is missed.
        guard let archived = try archive?.partition(worker.broker.namespace, topic, log.partition) else {
            let lost = added - info.length
            if lost > 0 {
                log.lostTo = max(info.firstID ?? info.lastGeneratedID, info.newestDeletedID ?? .zero)
            }
            return (info.lastGeneratedID, info.length, lost)
        }
        log.lostTo = archived.segments.last { $0.missing > 0 }?.last ?? .zero
        return (info.lastGeneratedID, added, archived.missing)
    }

    func refuseGaps() throws {
        guard !report.gaps.isEmpty, !options.allowsGaps else { return }
        throw ToolError(
            .failed,
            "\(report.gaps.sentence); with --allow-gaps the tables are rebuilt without them")
    }

    /// While the database is at work on one batch, the next is read and its handlers say what they would do.
    private func applyHistory(total: Int) async throws {
        var progress = RebuildProgress(total: total, logger: worker.logger)
        let began = ContinuousClock.now
        var next = try await gather()
        while let batch = next {
            async let committed = commit(batch)
            next = try await gather()
            try await finish(batch, try await committed)
            // What handlers publish can lead to another topic to look at.
            if next == nil { next = try await gather() }
            progress.show(report.events.read)
            onProgress(report.events.read, total)
        }
        let seconds = (ContinuousClock.now - began) / .seconds(1)
        report.sqlShare = seconds > 0 ? min(1, report.sqlSeconds / seconds) : 0
        report.eventsPerSecond = seconds > 0 ? Int(Double(report.events.applied) / seconds) : 0
    }

    /// The next batch; nil at the end.
    func gather() async throws -> RebuildBatch? {
        let entries = try await merged.next(upTo: Self.batchSize)
        guard !entries.isEmpty else { return nil }
        var batch = try await plan(entries)
        let steps = batch.steps
        // A handler that fails is run again by itself, and then it counts.
        batch.works = try? await line.gather {
            for step in steps { try await step.handle() }
        }
        try Task.checkCancellation()
        return batch
    }

    /// What came of it; nothing when the batch is to be applied event by event.
    private func commit(_ batch: RebuildBatch) async throws -> (outcome: RebuildLine.Outcome?, took: Duration)
    {
        let began = ContinuousClock.now
        guard let works = batch.works else { return (nil, .zero) }
        do {
            let outcome = try await line.commit(works, passedOver: batch.passedOver)
            return (outcome, ContinuousClock.now - began)
        } catch {
            try Task.checkCancellation()
            worker.logger.info(
                "a batch failed, trying its events one by one", metadata: ["reason": "\(error)"])
            return (nil, ContinuousClock.now - began)
        }
    }

    private func finish(
        _ batch: RebuildBatch, _ committed: (outcome: RebuildLine.Outcome?, took: Duration)
    ) async throws {
        var (outcome, took) = committed
        if outcome == nil {
            let began = ContinuousClock.now
            outcome = try await applyDirectly(batch)
            took += ContinuousClock.now - began
        }
        report.sqlSeconds += took / .seconds(1)
        try await count(batch, outcome ?? .init())
    }

    /// Applies a batch by itself.
    func apply(_ batch: RebuildBatch) async throws { try await finish(batch, commit(batch)) }

    /// Event by event, as it would be live.
    func applyDirectly(_ batch: RebuildBatch) async throws -> RebuildLine.Outcome {
        _ = try await line.commit([], passedOver: batch.passedOver)
        for step in batch.steps {
            var pause = Duration.milliseconds(50)
            for attempt in 1... {
                do {
                    try await step.handle()
                    break
                } catch {
                    try Task.checkCancellation()
                    let event = step.delivery.event
                    guard attempt < 4 else {
                        throw ToolError(
                            .failed,
                            "the handler of '\(event.type)' fails for \(event.source)/\(event.id): \(error)")
                    }
                }
                try await Task.sleep(for: pause)
                pause *= 4
            }
        }
        return line.takeOutcome()
    }

    /// What was applied, and what it would have led to.
    func count(_ batch: RebuildBatch, _ outcome: RebuildLine.Outcome) async throws {
        report.events.applied += outcome.applied
        report.events.passedOver += batch.passedOver.count
        for followUp in outcome.said {
            if !sendsTo.contains(followUp.topic) {
                try await lookForFollowUps(in: followUp.topic, from: batch.first)
            }
            if queues.contains(followUp.topic) {
                report.missing.unknown += 1
            } else {
                followUps.expect(followUp, mayBeLost: mayBeLost(followUp))
            }
        }
        for own in batch.own { followUps.observe(own.event, in: own.topic) }
    }

    // MARK: - Follow-ups

    /// From here on what the service has published to the topic is looked at.
    ///
    /// - Parameter place: where to begin in a topic that the service does not read.
    private func lookForFollowUps(in topic: Topic, from place: StreamID? = nil) async throws {
        sendsTo.insert(topic)
        // Whoever only sends to a topic need not know what it is declared to be.
        let declared = try await worker.broker.topic(named: topic.name)
        guard topic.kind == .log, declared?.kind != .queue else {
            queues.insert(topic)
            return
        }
        try await worker.broker.forEachScheduledEvent(of: topic) { event in
            if event.source == source { followUps.schedule(event, in: topic.name) }
        }
        guard let place else { return }
        for partition in 0..<topic.partitions {
            // Of a topic that nobody archives the log may have lost something: no reason to end.
            let archived = try archive?.partition(worker.broker.namespace, topic.name, partition)
            var log = RebuildLog(
                history: History(of: topic, on: worker.broker, archive: archived == nil ? nil : archive),
                partition: partition, subscription: nil)
            log.scannedTo = try await extent(of: &log).newest
            logs[log.place] = log
            guard place <= log.scannedTo else { continue }
            await merged.add(log.history, partition: partition, in: place...log.scannedTo)
        }
    }

    /// Whether it may have stood in what is gone of its log.
    private func mayBeLost(_ followUp: FollowUp) -> Bool {
        guard let causedAt = followUp.causedAt else { return false }
        let partitions =
            followUp.key.map { [followUp.topic.partition(ofKey: $0)] } ?? Array(0..<followUp.topic.partitions)
        return partitions.contains { partition in
            let log = logs[.init(topic: followUp.topic, partition: partition)]
            guard let lostTo = log?.lostTo, lostTo > .zero else { return false }
            return causedAt.milliseconds <= Int64(clamping: lostTo.milliseconds)
        }
    }

    /// What was scheduled while the history was read.
    func lookAtScheduled() async throws {
        guard followUps.count > 0 else { return }
        for topic in sendsTo.subtracting(queues) {
            try await worker.broker.forEachScheduledEvent(of: topic) { event in
                if event.source == source { followUps.observe(event, in: topic.name) }
            }
        }
    }

    func note(_ missing: (count: Int, some: [FollowUp], unknown: Int)) {
        report.missing.count = missing.count
        report.missing.unknown += missing.unknown
        report.missing.examples = missing.some.prefix(5).map {
            .init(
                topic: $0.topic.name.rawValue, type: $0.type.rawValue, key: $0.key,
                causationID: $0.causationID)
        }
    }
}
