internal import ArgumentParser
internal import Freshet
internal import FreshetReplay
internal import FreshetService
internal import Hiredis

/// A replay, by its id or the beginning of it.
struct JobOptions: ParsableArguments {
    @Argument(help: "The replay: its id, or the beginning of it.") var id: String
}

/// `replay start`
struct Start: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Runs a plan, exactly as it was made.",
        discussion:
            "A replay that stopped on its way goes on where it was, without gaps or repeats; so does: replay resume"
    )

    @OptionGroup var job: JobOptions
    @OptionGroup var actor: OperatorOptions
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        try await connection.withBroker { broker in
            let performing = Performing(broker: broker, actor: actor.actor, output: output)
            try await performing.run(try await broker.replay(job.id))
        }
    }
}

/// `replay resume`
struct Resume: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Has a paused replay go on, or runs one that stopped.",
        discussion:
            "When its process is still there that one goes on, and this command ends; otherwise this one runs it."
    )

    @OptionGroup var job: JobOptions
    @OptionGroup var actor: OperatorOptions
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        try await connection.withBroker { broker in
            let known = try await broker.replay(job.id)
            if try await broker.unpause(known, by: actor.actor) {
                return try output.show(known, sentence: "its process goes on")
            }
            let performing = Performing(broker: broker, actor: actor.actor, output: output)
            try await performing.run(known)
        }
    }
}

/// `replay pause`
struct Pause: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Has a running replay wait until it is resumed.")

    @OptionGroup var job: JobOptions
    @OptionGroup var actor: OperatorOptions
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        try await connection.withBroker { broker in
            let known = try await broker.replay(job.id)
            try await broker.pause(known, by: actor.actor)
            try output.show(known, sentence: "paused after about \(known.done): replay resume \(known.id)")
        }
    }
}

/// `replay cancel`
struct Cancel: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Ends a replay for good; what it has put where it goes stays.")

    @OptionGroup var job: JobOptions
    @OptionGroup var actor: OperatorOptions
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        try await connection.withBroker { broker in
            let known = try await broker.replay(job.id)
            try await broker.cancel(known, by: actor.actor)
            try output.show(
                known, sentence: "cancelled after about \(known.done) of \(known.plan.selected.count)")
        }
    }
}

/// `replay list`
struct ListCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "The replays of the last 90 days, oldest first.")

    @Flag(help: "Only those that have not ended.") var open = false
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        try await connection.withBroker { broker in
            let jobs = try await broker.replays().filter { !open || !$0.state.isOver }
            if jobs.isEmpty {
                StandardError.write("There are no replays in the namespace '\(broker.namespace)'.")
            }
            try output.show(
                jobs,
                columns: [
                    ("id", { $0.id }), ("state", { $0.state.rawValue }),
                    ("topic", { $0.plan.topic.rawValue }),
                    ("to", { "\($0.plan.target.kind.rawValue) \($0.plan.target.name)" }),
                    ("done", { "\($0.done)" }), ("total", { "\($0.plan.selected.count)" }),
                    ("planned", { $0.plan.planned }), ("by", { $0.by }),
                    ("reason", { OneLine.escaped($0.reason) }),
                ])
        }
    }
}

/// `replay status` and `replay watch`
struct Status: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "How a replay stands.")

    @OptionGroup var job: JobOptions
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        try await connection.withBroker { broker in
            let job = try await broker.replay(job.id)
            try output.show(job, sentence: job.sentence)
        }
    }
}

/// `replay watch`
struct Watch: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Follows a replay that another process runs, to its end.",
        discussion:
            "A bar on a terminal, a line of JSON every five seconds elsewhere. Ends with 0 when it is done, else with 1."
    )

    @OptionGroup var job: JobOptions
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        try await connection.withBroker { broker in
            var known = try await broker.replay(job.id)
            var line = ProgressLine(known.id)
            while known.state == .running || known.state == .paused || known.state == .planned {
                line.show(known.progress)
                try await Task.sleep(for: .milliseconds(500))
                known = try await broker.replay(known.id)
            }
            line.clear()
            try output.show(known, sentence: known.sentence)
            if known.state != .done { throw ToolError(.failed, known.sentence) }
        }
    }
}

/// `replay report`
struct Report: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "What a replay did, by type and partition, and what its group has made of it so far.")

    @OptionGroup var job: JobOptions
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions

    private struct Row: Encodable {
        let job: ReplayJob
        let group: GroupReport?
        let audit: [AuditRecord]
    }

    func run() async throws {
        try await connection.withBroker { broker in
            let job = try await broker.replay(job.id)
            var group: GroupReport?
            if let name = job.plan.target.group {
                group = try await broker.groupReports(topic: job.plan.topic, group: name).first
            }
            let audit = try await broker.auditRecords(last: 10_000).filter { $0.replay == job.id }
            var lines = [
                job.sentence,
                "Planned by \(job.by)\(job.reason.isEmpty ? "" : " (\(job.reason))"): \(job.plan.text)",
            ]
            if let group {
                lines.append(
                    "'\(group.group)' now: \(group.waiting) waiting, \(group.pending) pending, \(group.delayed) delayed, "
                        + "\(group.dead) dead, \(group.invalid) invalid.")
            }
            for record in audit {
                lines.append(
                    "\(Timestamp(milliseconds: Int64(clamping: record.id.milliseconds))) \(record.action) by \(record.by) "
                        + "\(record.details)\(record.reason.isEmpty ? "" : " (\(OneLine.escaped(record.reason)))")"
                )
            }
            try output.show(
                Row(job: job, group: group, audit: audit), sentence: lines.joined(separator: "\n"))
        }
    }
}

/// `replay audit`
struct Audit: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Who has had what done, when and why: the newest records of the audit stream.")

    @Option(help: "So many.") var last: Int = 50
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        try await connection.withBroker { broker in
            try output.show(
                try await broker.auditRecords(last: last),
                columns: [
                    ("time", { Timestamp(milliseconds: Int64(clamping: $0.id.milliseconds)).description }),
                    ("action", { $0.action }), ("by", { OneLine.escaped($0.by) }), ("topic", { $0.topic }),
                    ("target", { $0.target }),
                    ("replay", { $0.replay }), ("details", { OneLine.escaped($0.details) }),
                    ("reason", { OneLine.escaped($0.reason) }),
                ])
        }
    }
}

extension ReplayJob {
    var progress: ReplayProgress {
        ReplayProgress(done: done, total: plan.selected.count, rate: rate, note: note, unsettled: 0)
    }

    /// How it stands, in a sentence.
    var sentence: String {
        var text =
            "\(state.rawValue): \(Spelled.count(done)) of \(Spelled.count(plan.selected.count)) events of '\(plan.topic)' "
        text += "to \(plan.target.kind.rawValue) '\(OneLine.escaped(plan.target.name))'"
        if let left = secondsLeft { text += ", \(Spelled.count(Int(rate)))/s, \(Spelled.seconds(left)) left" }
        return note.isEmpty ? text : "\(text) (\(note))"
    }
}
