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
    /// What it waits for; empty when it does not.
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
/// transaction. While it runs it is the only replay to its target.
public struct ReplayRun {
    private static let beat = Duration.milliseconds(500)
    private static let patience = Duration.seconds(15)
    /// Looked at sooner when so many events went since.
    private static let manyEvents = 5_000

    private let plan: ReplayPlan
    private let actor: Actor
    private let broker: Broker
    private let onProgress: (ReplayProgress) -> Bool
    private var lock: ReplayLock
    private var output: any ReplayOutput
    private var pacer: Pacer
    private var watch: GroupWatch?
    private var lastBeat = ContinuousClock.now
    private var countAtBeat = 0
    private var countAtStart = 0
    private var rate = 0.0
    private var verdict = GroupWatch.Verdict.goOn

    private enum End: Error {
        case stopped(String)
        case cancelled
    }

    /// Runs a replay to its end and returns how it stands then: `done`, `cancelled`, or `stopped` with the reason in its note.
    ///
    /// Throws `busy` while another process replays to the same target, `refused` for one that is over, and what the server says; it can
    /// be run again after that.
    ///
    /// - Parameter onProgress: called about twice a second; false stops it.
    public static func run(
        _ job: ReplayJob, by actor: Actor, on broker: Broker,
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
        _ plan: ReplayPlan, _ lock: ReplayLock, _ actor: Actor, _ broker: Broker,
        _ onProgress: @escaping (ReplayProgress) -> Bool
    ) async throws {
        (self.plan, self.lock, self.actor, self.broker) = (plan, lock, actor, broker)
        self.onProgress = onProgress
        output = try await broker.output(of: plan, run: lock.run)
        pacer = Pacer(plan.pace)
        if let group = plan.target.group {
            watch = GroupWatch(
                group, try await broker.existingTopic(plan.topic), plan.limits,
                emptiesDeadLetters: plan.source.kind == .dead, on: broker)
        }
        countAtStart = output.count
        countAtBeat = output.count
    }

    private mutating func run() async throws -> ReplayJob {
        try await broker.begin(plan, run: lock.run)
        try await broker.audit(
            output.count == 0 ? "replay.start" : "replay.resume", by: actor, plan,
            "from event \(output.count) of \(plan.selected.count)")
        var (state, note) = (ReplayJob.State.done, "")
        do {
            try await pump()
            let missing = plan.selected.count - output.count
            if missing > 0 { note = "\(missing) of the planned events were gone by then" }
        } catch End.cancelled {
            state = .cancelled
        } catch End.stopped(let reason) {
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
            plan, run: lock.run,
            [
                "state": state.rawValue, "done": "\(output.count)", "note": note,
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
        var input = try await ReplayInput(plan, reader, behind: output.positions)
        lastBeat = .now - Self.beat
        try await beatWhenDue()
        var next = try await input.next()
        while let page = next {
            try await beatWhenDue()
            let selected = plan.filter.isAnything ? page.entries : page.entries.filter(plan.filter.includes)
            if pacer.isUnhurried {
                // The next page is read while this one is written: alone each would wait for the server half of the time.
                let (current, partition) = (output, page.partition)
                async let written = current.putting(selected[...], of: partition)
                next = try await input.next()
                output = try await written
                continue
            }
            var rest = selected[...]
            while !rest.isEmpty {
                try await beatWhenDue()
                let (count, due) = pacer.take(rest)
                try await wait(until: due)
                _ = try await output.put(rest.prefix(count), of: page.partition)
                rest = rest.dropFirst(count)
            }
            next = try await input.next()
        }
        try await output.save()
        _ = onProgress(progress(""))
    }

    private mutating func wait(until due: ContinuousClock.Instant) async throws {
        while due > .now {
            let slice = min(due, .now + Self.beat)
            try await Task.sleep(until: slice, tolerance: .zero, clock: .continuous)
            try await beatWhenDue()
        }
    }

    /// Says how it stands, keeps the lock, and does what others want of it: returns when it may go on.
    private mutating func beatWhenDue() async throws {
        guard
            ContinuousClock.now - lastBeat >= Self.beat
                || plan.limits.waiting != nil && output.count - countAtBeat >= Self.manyEvents
        else { return }
        let began = ContinuousClock.now
        var note = try await patientBeat(began)
        while let reason = note {
            guard onProgress(progress(reason)) else { throw End.stopped("interrupted") }
            try await Task.sleep(for: .milliseconds(200))
            note = try await patientBeat(.now)
        }
        if ContinuousClock.now - began > Self.beat { pacer.skip(ContinuousClock.now - began) }
        guard onProgress(progress("")) else { throw End.stopped("interrupted") }
    }

    /// A server that is away for a moment is waited for.
    private mutating func patientBeat(_ now: ContinuousClock.Instant) async throws -> String? {
        let deadline = ContinuousClock.now + Self.patience
        while true {
            do { return try await beat(now) } catch let error as FreshetError {
                guard error.isRetryable || error.mayHaveRun, .now < deadline else { throw error }
                try await Task.sleep(for: .milliseconds(200))
            }
        }
    }

    /// What it has to wait for; nil when it may go on.
    private mutating func beat(_ now: ContinuousClock.Instant) async throws -> String? {
        try await lock.keep()
        let span = (now - lastBeat).seconds
        if span > 0.05 {
            let latest = Double(output.count - countAtBeat) / span
            rate = rate == 0 ? latest : 0.7 * rate + 0.3 * latest
            (lastBeat, countAtBeat) = (now, output.count)
        }
        if plan.target.kind != .group { try await output.save() }
        var fields = ["done": "\(output.count)", "rate": "\(rate.rounded())"]
        let wish = try await broker.tell(plan, run: lock.run, fields)
        if wish == "cancel" { throw End.cancelled }
        if var watch {
            verdict = try await watch.look(put: output.count - countAtStart, rate: rate)
            pacer.brake = watch.brake
            self.watch = watch
        }
        var note: String?
        if case .stop(let reason) = verdict { throw End.stopped(reason) }
        if verdict == .wait {
            note =
                "\(watch?.unsettled ?? 0) events wait for the group \(plan.target.name): do its workers run?"
        }
        if wish == "pause" { note = "paused" }
        fields = [
            "state": (wish == "pause" ? ReplayJob.State.paused : .running).rawValue, "note": note ?? "",
            "updated": try await broker.serverTime().description,
        ]
        _ = try await broker.tell(plan, run: lock.run, fields)
        return note
    }

    private func progress(_ note: String) -> ReplayProgress {
        ReplayProgress(
            done: output.count, total: plan.selected.count, rate: rate, note: note,
            unsettled: watch?.unsettled ?? 0)
    }
}
