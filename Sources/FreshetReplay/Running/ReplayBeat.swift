internal import Freshet

/// What a replay does beside its events: it keeps its lock, says how it stands, hears what others want of it, and looks at the group.
struct ReplayBeat: Sendable {
    private static let patience = Duration.seconds(15)

    private let plan: ReplayPlan
    private let broker: Broker
    private var lock: ReplayLock
    private var watch: GroupWatch?
    private var countAtStart: Int?
    private var last = ReplayStanding.Look(time: .now, count: 0)

    init(_ plan: ReplayPlan, _ lock: ReplayLock, on broker: Broker) async throws {
        (self.plan, self.lock, self.broker) = (plan, lock, broker)
        if let group = plan.target.group {
            watch = GroupWatch(
                group, try await broker.existingTopic(plan.topic), plan.limits,
                emptiesDeadLetters: plan.source.kind == .dead, on: broker)
        }
    }

    /// Looks whenever it is due, until it is cancelled or there is a reason for the replay to end.
    func run(_ standing: ReplayStanding) async {
        var beat = self
        while let count = await standing.nextDue() {
            do {
                standing.note(try await beat.patientLook(at: count))
            } catch {
                beat.last.failure = error
                return standing.note(beat.last)
            }
        }
    }

    /// A server that is away for a moment is waited for.
    private mutating func patientLook(at count: Int) async throws -> ReplayStanding.Look {
        let deadline = ContinuousClock.now + Self.patience
        while true {
            do { return try await look(at: count) } catch let error as FreshetError {
                // Busy: another run has taken the replay over.
                guard error.isRetryable || error.mayHaveRun, error.code != .busy, .now < deadline else {
                    throw error
                }
                try await Task.sleep(for: .milliseconds(200))
            }
        }
    }

    private mutating func look(at count: Int) async throws -> ReplayStanding.Look {
        let now = ContinuousClock.now
        let first = countAtStart ?? count
        if countAtStart == nil {
            (countAtStart, last) = (count, ReplayStanding.Look(time: now, count: count))
        }
        try await lock.keep()
        var look = ReplayStanding.Look(time: now, count: count, rate: last.rate)
        let span = (now - last.time).seconds
        if span > 0.05 {
            // Fewer, once a server has lost some.
            let latest = max(0, Double(count - last.count) / span)
            look.rate = last.rate == 0 ? latest : 0.7 * last.rate + 0.3 * latest
        } else {
            (look.time, look.count) = (last.time, last.count)
        }
        var fields = ["done": "\(count)", "rate": "\(look.rate.rounded())"]
        let wish = try await broker.tell(plan, by: lock, fields)
        if wish == "cancel" { throw ReplayEnd.cancelled }
        if var watch {
            let verdict = try await watch.look(put: count - first, rate: look.rate)
            (look.brake, look.unsettled) = (watch.brake, watch.unsettled)
            self.watch = watch
            switch verdict {
            case .goOn: break
            case .stop(let reason): throw ReplayEnd.stopped(reason)
            case .wait:
                look.note =
                    "\(watch.unsettled) events wait for the group \(plan.target.name): do its workers run?"
            }
        }
        if wish == "pause" { look.note = "paused" }
        fields = [
            "state": (wish == "pause" ? ReplayJob.State.paused : .running).rawValue, "note": look.words,
            "updated": try await broker.serverTime().description,
        ]
        _ = try await broker.tell(plan, by: lock, fields)
        last = look
        return look
    }
}
