internal import Freshet
internal import FreshetRecords
internal import FreshetReplay
internal import Hiredis
internal import Logging

/// What workers handle while the rebuild runs.
extension RebuildRun {
    /// So little is left to the moment in which nobody else writes.
    private static let fewEnough = 500
    private static let mostPasses = 20

    /// Until little is left to catch up with, or workers are as fast as this; at least once. Returns what it is caught up to.
    func catchUp(from mark: Shadow.Mark) async throws -> Shadow.Mark {
        var mark = mark
        for _ in 0..<Self.mostPasses {
            let next = try await shadow.mark()
            let handled = try await shadow.handled(since: mark)
            let outbox = try await shadow.outbox(since: mark)
            try await read(handled)
            try await apply(try await gathered(plan(outbox)))
            mark = next
            if handled.count <= Self.fewEnough { break }
        }
        return mark
    }

    /// Applies these, which the service has handled: wherever they stand in the history, they have been given to the group by now.
    private func read(_ handled: Set<Shadow.EventName>) async throws {
        var left = handled
        let before = report.events.applied
        merged = MergedHistory()
        await addSkipped(among: handled)
        try await addNew()
        while case let entries = try await merged.next(upTo: Self.batchSize), !entries.isEmpty {
            let batch = try await plan(entries, handled: handled)
            for delivery in batch.steps.map(\.delivery) + batch.passedOver {
                left.remove(Shadow.EventName(delivery.event))
            }
            try await apply(try await gathered(batch))
        }
        for (place, log) in logs { logs[place]?.scannedTo = max(log.scannedTo, newest[place] ?? .zero) }
        report.events.caughtUp += report.events.applied - before
        left.subtract(try await shadow.met(among: Array(left)))
        noteGaps(left)
    }

    func gathered(_ batch: RebuildBatch) async throws -> RebuildBatch {
        var batch = batch
        let steps = batch.steps
        batch.works = try? await line.gather { for step in steps { try await step.handle() } }
        try Task.checkCancellation()
        return batch
    }

    func noteGaps(_ names: Set<Shadow.EventName>) {
        let new = names.subtracting(gaps)
        gaps.formUnion(new)
        report.gaps.handled += new.count
        report.gaps.examples += new.prefix(max(0, 5 - report.gaps.examples.count)).map(\.description)
    }

    /// Those of these that were met before, and had not been handled then: among the new ones, each in its place.
    private func addSkipped(among names: Set<Shadow.EventName>) async {
        for case let place? in names.map({ skipped[$0] }) {
            guard let log = logs[place.log] else { continue }
            report.events.read -= 1
            await merged.add(log.history, partition: place.log.partition, in: place.id...place.id)
        }
    }

    /// What has been given to the group, or added to a log, since it was looked at.
    func addNew(onlyGiven: Bool = false) async throws {
        for (place, log) in logs {
            let position = try await worker.broker.position(
                of: worker.settings.group, topic: place.topic.name, partition: place.partition)
            guard let position else { continue }
            newest[place] = max(log.scannedTo, position.newest)
            let given = log.subscription == nil ? .zero : max(log.decidedTo, position.delivered ?? .zero)
            if let from = log.decidedTo.successor, from <= given {
                await merged.add(log.history, partition: place.partition, in: from...given)
            }
            logs[place]?.decidedTo = given
            // Between the two it was given before, and is only looked at for follow-ups.
            let scanned = max(log.scannedTo, given)
            guard !onlyGiven, let from = scanned.successor, from <= position.newest else { continue }
            await merged.add(log.history, partition: place.partition, in: from...position.newest)
        }
    }

    // MARK: - The end

    /// Nobody else writes: the last of what was handled, and then the new tables take their place.
    func replace(from mark: Shadow.Mark) async throws {
        var (mark, attempt) = (mark, 1)
        while true {
            do {
                try await lookAtScheduled()
                let before = knowledge
                do { return try await replaceOnce(from: mark) } catch {
                    // What was applied was rolled back.
                    knowledge = before
                    _ = line.takeOutcome()
                    throw error
                }
            } catch let error as RecordsError where error.code == .tooNew {
                throw ToolError(.failed, error.description)
            } catch let error as RecordsError where error.code == .busy && attempt < 5 {
                worker.logger.info("cannot have the tables, trying again", metadata: ["reason": "\(error)"])
                attempt += 1
                mark = try await catchUp(from: mark)
            }
        }
    }

    /// What an attempt to replace the tables learns.
    private var knowledge:
        (
            report: RebuildReport, logs: [MergedHistory.Place: RebuildLog], followUps: FollowUps,
            sendsTo: Set<Topic>, queues: Set<Topic>, skipped: [Shadow.EventName: RebuildPlace],
            gaps: Set<Shadow.EventName>
        )
    {
        get { (report, logs, followUps, sendsTo, queues, skipped, gaps) }
        set { (report, logs, followUps, sendsTo, queues, skipped, gaps) = newValue }
    }

    private func replaceOnce(from mark: Shadow.Mark) async throws {
        let (shadow, line) = (shadow, line)
        let began = try await shadow.replace { open in
            let began = ContinuousClock.now
            line.use(open)
            defer { line.use(nil) }
            let (handled, outbox) = try await open.run { transaction in
                (
                    try shadow.handled(since: mark, in: transaction),
                    try shadow.outbox(since: mark, in: transaction)
                )
            }
            let missing = try await self.applyLast(handled, outbox, within: open)
            return (value: began, publish: missing)
        }
        report.lockSeconds = (ContinuousClock.now - began) / .seconds(1)
        report.isSwapped = true
    }

    /// Within the last transaction. Returns what is to be published.
    private func applyLast(
        _ handled: Set<Shadow.EventName>, _ outbox: [OutboxEvent], within open: OpenTransaction
    ) async throws -> [FollowUp] {
        let before = report.events.applied
        var left = handled
        merged = MergedHistory()
        await addSkipped(among: handled)
        try await addNew(onlyGiven: true)
        while case let entries = try await merged.next(upTo: Self.batchSize), !entries.isEmpty {
            let batch = try await plan(entries, handled: handled, within: open)
            for delivery in batch.steps.map(\.delivery) + batch.passedOver {
                left.remove(Shadow.EventName(delivery.event))
            }
            try await applyNow(batch)
        }
        try await applyNow(plan(outbox))
        left.subtract(try await shadow.met(among: Array(left), within: open))
        noteGaps(left)
        try refuseGaps()
        report.events.caughtUp += report.events.applied - before
        report.events.atTheEnd = report.events.applied - before
        let missing = followUps.missing
        note(missing)
        guard options.publishesMissing else { return [] }
        report.missing.published = missing.some.count
        return missing.some
    }

    private func applyNow(_ batch: RebuildBatch) async throws {
        try await count(batch, try await applyDirectly(batch))
    }
}
