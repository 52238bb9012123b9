internal import FoundationEssentials
internal import Freshet
internal import FreshetReplay
internal import FreshetService
internal import Hiredis

/// What `run`, `redeliver`, `start` and `resume` print in the end.
struct ReplayReport: Encodable {
    let replay: String
    let state: String
    let topic: String
    let group: String?
    let target: ReplayTarget
    let from: StreamID
    let to: StreamID
    let selected: ReplaySurvey
    let done: Int
    let note: String

    init(_ plan: ReplayPlan, state: ReplayJob.State?, done: Int, note: String = "") {
        replay = plan.id
        self.state = state?.rawValue ?? "none"
        topic = plan.topic.rawValue
        group = plan.target.group?.rawValue
        target = plan.target
        (from, to) = (plan.from, plan.to)
        selected = plan.selected
        self.done = done
        self.note = note
    }
}

/// Has plans made and run, for the commands.
struct Performing {
    let broker: Broker
    let actor: Operator
    let output: OutputOptions

    /// A request's plan; says so when it holds nothing.
    func plan(_ request: ReplayRequest, _ inbox: InboxOptions) async throws -> ReplayPlan {
        let handled = try inbox.look(for: request.target.group)
        let isTerminal = StandardError.isTerminal
        var shown = ContinuousClock.now
        defer { if isTerminal { StandardError.draw("") } }
        let plan: ReplayPlan
        do {
            plan = try await broker.plan(request, handled: handled) { seen in
                guard isTerminal, ContinuousClock.now - shown > .milliseconds(200) else { return }
                shown = .now
                StandardError.draw("looking: \(Spelled.count(seen)) events")
            }
        } catch let error as FreshetError where error.code == .refused {
            throw ToolError(.usage, error.message)
        }
        if plan.selected.count == 0 {
            StandardError.write(
                request.source.kind == .dead
                    ? "'\(plan.target.name)' has no such dead letters of '\(plan.topic)'."
                    : "Nothing of '\(plan.topic)' lies in this range.")
        }
        return plan
    }

    /// Runs a replay until it ends or someone wants it to, and reports.
    func run(_ job: ReplayJob) async throws {
        let total = job.plan.selected.count
        var line = ProgressLine(job.id)
        var latest = job.done
        let ended: ReplayJob
        do {
            ended = try await Interruption.deferred {
                try await ReplayRun.run(job, by: actor, on: broker) { progress in
                    latest = progress.done
                    line.show(progress)
                    return !Interruption.isRequested
                }
            }
            line.clear()
        } catch let error as FreshetError where [.busy, .refused].contains(error.code) {
            line.clear()
            throw error
        } catch {
            line.clear()
            // What is there says more than what was heard last.
            let known = (try? await broker.replay(job.id).done) ?? latest
            let count = max(known, latest)
            guard count > 0 else { throw error }
            try report(job.plan, .stopped, count, "\(ToolError(error))")
            throw ToolError(
                .partlyDone,
                "\(count) of \(total) were \(verb(job.plan)), then: \(ToolError(error)); go on with: replay resume \(job.id)"
            )
        }
        if ended.lost > 0 { Self.sayLost(ended.lost) }
        try report(job.plan, ended.state, ended.done, ended.note)
        switch ended.state {
        case .done:
            guard ended.note.isEmpty else {
                throw ToolError(.partlyDone, "\(ended.done) of \(total): \(ended.note)")
            }
        case .cancelled: throw ToolError(.failed, "cancelled after \(ended.done) of \(total)")
        default:
            let isInterrupted = Interruption.isRequested
            throw ToolError(
                isInterrupted ? .interrupted : .partlyDone,
                "\(isInterrupted ? "interrupted" : "stopped") after \(ended.done) of \(total)\(isInterrupted ? "" : ": \(ended.note)"); go on with: replay resume \(job.id)"
            )
        }
    }

    /// What is said of events that a server has lost meanwhile.
    static func sayLost(_ count: Int) {
        StandardError.write(
            "replay: the server lost \(Spelled.count(count)) events that had been put, and they were put again: who had taken "
                + "them sees them twice, and inboxes skip them")
    }

    func report(_ plan: ReplayPlan, _ state: ReplayJob.State?, _ done: Int, _ note: String = "") throws {
        try output.show(
            ReplayReport(plan, state: state, done: done, note: note), sentence: plan.sentence(done))
    }

    private func verb(_ plan: ReplayPlan) -> String {
        switch plan.target.kind {
        case .group: "redelivered"
        case .topic: "published"
        case .file: "written"
        }
    }
}
