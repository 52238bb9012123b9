public import Freshet
internal import Hiredis

/// How a running replay stands.
public struct ReplayProgress: Sendable {
    /// How many events are where they go.
    public let done: Int
    /// How many there will be.
    public let total: Int
    /// How many a second, lately.
    public let rate: Double
    /// What it waits for, or why it goes slower than planned; empty when neither is so.
    public let note: String
    /// How many of the redelivered events the group has not settled.
    public let unsettled: Int

    /// How a replay stands.
    public init(done: Int, total: Int, rate: Double, note: String, unsettled: Int) {
        (self.done, self.total, self.rate, self.note, self.unsettled) = (done, total, rate, note, unsettled)
    }
}

/// Runs a plan, from its beginning or from where an earlier run of it ended, however that was.
///
/// No event is left out and none is put there twice, also when the process is killed at any moment: what was put is noted in the same
/// step. While it runs it is the only replay to its target.
///
/// A server that loses its last seconds meanwhile is noticed: the run begins again behind what the server
/// still has. Events that the group had taken before may then come twice, which inboxes absorb.
public struct ReplayRun {
    private let plan: ReplayPlan
    private let actor: Operator
    private let broker: Broker
    private let onProgress: (ReplayProgress) -> Bool
    private let lock: ReplayLock
    private let standing: ReplayStanding
    private var output: any ReplayOutput
    private var pacer: Pacer
    /// The look that was heeded last.
    private var heeded = 0

    /// Runs a replay to its end and returns how it stands then: `done`, `cancelled`, or `stopped` with the reason in its note.
    ///
    /// Throws `busy` while another process replays to the same target, `refused` for one that is over, and what the server says; it can
    /// be run again after that.
    ///
    /// - Parameter onProgress: called about twice a second; false stops it.
    public static func run(
        _ job: ReplayJob, by actor: Operator, on broker: Broker,
        onProgress: @escaping (ReplayProgress) -> Bool = { _ in true }
    ) async throws -> ReplayJob {
        guard !job.state.isOver else {
            throw FreshetError(.refused, "the replay is \(job.state.rawValue) already: plan another one")
        }
        let lock = try await ReplayLock(broker.lockKey(of: job.plan), on: broker)
        do {
            // On the client's thread, as a consumer: no event changes threads on its way.
            let ended = try await withTaskExecutorPreference(broker.client.loop) {
                var run = try await ReplayRun(job.plan, lock, actor, broker, onProgress)
                return try await run.run()
            }
            await lock.release()
            return ended
        } catch {
            await lock.release()
            throw error
        }
    }

    private init(
        _ plan: ReplayPlan, _ lock: ReplayLock, _ actor: Operator, _ broker: Broker,
        _ onProgress: @escaping (ReplayProgress) -> Bool
    ) async throws {
        (self.plan, self.lock, self.actor, self.broker) = (plan, lock, actor, broker)
        self.onProgress = onProgress
        output = try await broker.output(of: plan, lock)
        standing = ReplayStanding(count: output.count, isBounded: plan.limits.waiting != nil)
        pacer = Pacer(plan.pace)
    }

    private mutating func run() async throws -> ReplayJob {
        try await broker.begin(plan, by: lock)
        try await broker.audit(
            output.count == 0 ? "replay.start" : "replay.resume", by: actor, plan,
            "from event \(output.count) of \(plan.selected.count)")
        var (state, note) = (ReplayJob.State.done, "")
        do {
            try await pump()
            note = try await shortfall()
        } catch ReplayEnd.cancelled {
            state = .cancelled
        } catch ReplayEnd.stopped(let reason) {
            (state, note) = (.stopped, reason)
        } catch {
            _ = onProgress(progress("\(error)"))
            // Not for another run that has taken over: it says how it stands.
            try? await end(.stopped, "\(error)")
            throw error
        }
        try await end(state, note)
        return try await broker.replay(plan.id)
    }

    private mutating func end(_ state: ReplayJob.State, _ note: String) async throws {
        var (state, note) = (state, note)
        do { try await output.save() } catch {
            (state, note) = (.stopped, note.isEmpty ? "\(error)" : note)
        }
        _ = try await broker.tell(
            plan, by: lock,
            [
                "state": state.rawValue, "done": "\(output.count)", "note": note, "lost": "\(output.lost)",
                "updated": try await broker.serverTime().description,
            ])
        try await broker.audit(
            "replay.\(state.rawValue)", by: actor, plan,
            "\(output.count) of \(plan.selected.count)\(note.isEmpty ? "" : ": \(note)")")
        if state.isOver { try await output.finish() }
    }

    // MARK: - The way of the events

    private mutating func pump() async throws {
        // On a connection of its own: a page does not wait behind what is written meanwhile.
        let own = broker.client.dedicated()
        defer { own.close() }
        let reader = try await ReplayReader(plan, on: Broker(own, namespace: broker.namespace))
        let beat = try await ReplayBeat(plan, lock, on: broker)
        // The looks stand beside the schedule: what is due does not wait for them.
        try await withThrowingTaskGroup(of: Void.self) { [standing] tasks in
            tasks.addTask { await standing.tick() }
            tasks.addTask { await beat.run(standing) }
            defer { tasks.cancelAll() }
            try await heed()
            try await putAll(reader)
        }
        _ = onProgress(progress(""))
    }

    /// Until all is there. A server that is away for a moment is waited for; what it has lost is put again.
    private mutating func putAll(_ reader: ReplayReader) async throws {
        var failure = PassingFailure(at: output.count)
        while true {
            do {
                if pacer.isUnhurried { try await hurry(reader) } else { try await keepPace(reader) }
                return try await output.save()
            } catch {
                try await failure.wait(error, at: output.count)
                try await recover()
            }
        }
    }

    private mutating func recover() async throws {
        let before = output.lost
        do { try await output.recover() } catch  where PassingFailure.isPassing(error) { return }
        guard output.lost > before else { return }
        try await broker.audit(
            "replay.again", by: actor, plan,
            "the server has lost \(output.lost - before) events that were put: going on behind event \(output.count)"
        )
    }

    /// Why there are fewer events than were planned; empty when there are not. What is there to be read was
    /// put.
    private func shortfall() async throws -> String {
        let missing = plan.selected.count - output.count
        guard missing > 0 else { return "" }
        guard plan.source.kind != .dead else {
            return
                "\(missing) of the planned dead letters were not there any more: retried or discarded meanwhile"
        }
        let reader = try await ReplayReader(plan, on: broker)
        var (present, blank) = (0, 0)
        for part in plan.parts {
            guard let range = part.range else { continue }
            var pages = try await reader.pages(ofPartition: part.partition, in: range)
            while let page = try await pages.next() {
                let selected = plan.filter.selected(of: page)
                present += selected.count
                if plan.target.kind == .topic { blank += selected.count { !$0.hasContent } }
            }
        }
        guard present - blank <= output.count else {
            throw ReplayEnd.stopped(
                "\(present - blank - output.count) events are there to be read, and were not put")
        }
        let gone = max(0, missing - blank)
        return [
            gone > 0 ? "\(gone) of the planned events were gone by then" : "",
            blank > 0 ? "\(blank) of the planned entries hold no event" : "",
        ].filter { !$0.isEmpty }.joined(separator: "; ")
    }

    /// As fast as it goes, until the group's state imposes a pace.
    private mutating func hurry(_ reader: ReplayReader) async throws {
        let batches = try await ReplayBatches(plan, reader, for: output)
        var next = try await batches.next()
        while let batch = next {
            try await heed()
            guard pacer.isUnhurried else {
                try await put(batch.entries, of: batch.partition)
                next = try await batches.next()
                continue
            }
            // While the server does this one, what comes next is read and put into words, off the client's thread.
            let current = output
            async let following = withTaskExecutorPreference(globalConcurrentExecutor) {
                try await batches.next()
            }
            output = try await current.putting(batch)
            next = try await following
        }
    }

    private mutating func keepPace(_ reader: ReplayReader) async throws {
        var input = try await ReplayInput(plan, reader, behind: output.positions)
        while let page = try await input.next() {
            try await put(plan.filter.selected(of: page.entries), of: page.partition)
        }
    }

    private mutating func put(_ entries: ArraySlice<StreamEntry>, of partition: Int) async throws {
        var rest = entries
        while !rest.isEmpty {
            try await heed()
            let (count, due) = pacer.take(rest)
            try await wait(until: due)
            _ = try await output.put(rest.prefix(count), of: partition)
            rest = rest.dropFirst(count)
        }
    }

    private mutating func wait(until due: ContinuousClock.Instant) async throws {
        while due > .now {
            let slice = min(due, .now + ReplayStanding.interval)
            try await Task.sleep(until: slice, tolerance: .zero, clock: .continuous)
            try await heed()
        }
    }

    /// Does what the looks say: returns when it may go on.
    private mutating func heed() async throws {
        let began = ContinuousClock.now
        var look = standing.look(at: output.count)
        try await heed(look)
        while standing.holds(look) {
            await standing.nextLook()
            try Task.checkCancellation()
            look = standing.look(at: output.count)
            try await heed(look)
        }
        let pause = ContinuousClock.now - began
        if pause > ReplayStanding.interval { pacer.skip(pause) }
    }

    private mutating func heed(_ look: ReplayStanding.Look) async throws {
        if let failure = look.failure { throw failure }
        guard look.number != heeded else { return }
        heeded = look.number
        pacer.brake = look.brake
        if plan.target.kind != .group { try await output.save() }
        guard onProgress(progress(look.words)) else { throw ReplayEnd.stopped("interrupted") }
    }

    private func progress(_ note: String) -> ReplayProgress {
        let look = standing.look(at: output.count)
        return ReplayProgress(
            done: output.count, total: plan.selected.count, rate: look.rate, note: note,
            unsettled: look.unsettled)
    }
}
