internal import ArgumentParser
internal import Freshet
internal import FreshetReplay
internal import FreshetService

/// What a replay is for.
enum ReplayMode: String, ExpressibleByArgument, CaseIterable {
    /// Lost work is done again, and what was done is skipped.
    case redeliver
    /// A service's tables are made anew, by one of its running workers.
    case rebuild
}

/// What only a rebuild takes.
struct RebuildModeOptions: ParsableArguments {
    @Flag(help: "With --mode rebuild: publish what the handlers would have published and the history lacks.")
    var publishMissing = false
    @Flag(help: "With --mode rebuild: go on although the history lacks events that the service has handled.")
    var allowGaps = false

    var isGiven: Bool { publishMissing || allowGaps }
}

/// Has a running worker make its service's tables anew, and follows it.
struct RebuildByWorker {
    /// A worker looks every two seconds.
    private static let patience = Duration.seconds(15)

    let group: GroupName
    let options: RebuildOptions
    let actor: Operator
    let output: OutputOptions
    let broker: Broker

    func run() async throws {
        let started = ContinuousClock.now
        let id = try await broker.askForRebuild(of: group, options)
        try await audit("replay.rebuild", id, options.isDryRun ? "only compared" : "")
        var line = ProgressLine(id)
        while true {
            guard let status = try await broker.rebuildStatus(of: group) else {
                throw ToolError(.failed, "the request for a rebuild is gone")
            }
            switch status.state {
            case .asked:
                guard ContinuousClock.now - started < Self.patience else {
                    guard try await broker.withdrawRebuild(id, of: group) else { continue }
                    throw ToolError(
                        .tryAgain,
                        "no worker of '\(group)' took it within \(Self.patience): start one, or run the worker with --rebuild"
                    )
                }
            case .running:
                guard status.silence ?? 0 < Broker.rebuildSilence else {
                    line.clear()
                    throw ToolError(
                        .failed,
                        "the worker \(status.worker) is gone: the tables are as they were, run it again")
                }
                let seconds = (ContinuousClock.now - started) / .seconds(1)
                line.show(
                    ReplayProgress(
                        done: status.done, total: status.total, rate: Double(status.done) / max(seconds, 0.1),
                        note: "", unsettled: 0))
            case .done, .failed:
                line.clear()
                return try await finish(id, status)
            }
            if Interruption.isRequested {
                line.clear()
                throw ToolError(.interrupted, "no longer watched: the worker goes on")
            }
            try await Task.sleep(for: .milliseconds(300))
        }
    }

    private func finish(_ id: String, _ status: RebuildStatus) async throws {
        if status.state == .done, status.report == nil {
            try await audit("replay.rebuild.done", id, "")
            return StandardError.write(
                "done; the report is of another version: see the log of \(status.worker)")
        }
        guard let report = status.report else {
            try await audit("replay.rebuild.failed", id, status.failure)
            throw ToolError(.failed, "the worker \(status.worker): \(status.failure)")
        }
        try await audit("replay.rebuild.done", id, report.isSwapped ? "in use" : "as they were")
        try output.show(report, sentence: report.lines.joined(separator: "\n"))
        for advice in report.advice { StandardError.write(advice) }
        if options.isDryRun, !report.isEqual { throw ExitCode(ExitStatus.partlyDone.rawValue) }
    }

    private func audit(_ action: String, _ id: String, _ details: String) async throws {
        try await broker.audit(
            action, by: actor, topic: nil, target: group.rawValue, replay: id, details: details)
    }
}
