internal import ArgumentParser
internal import FoundationEssentials
internal import Freshet
internal import FreshetReplay
internal import FreshetService

/// `replay plan`
struct PlanCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "plan",
        abstract: "Says exactly what a replay would do, and keeps that as a plan to start.",
        discussion: """
            The range ends with what there is now. Nothing is changed but that the plan is kept; start it with: replay start ID

            Examples:
              replay plan --topic orders --group payment --from 2h --type order.placed
              replay plan --topic orders --group payment --dead
              replay plan --topic orders --to-topic orders-copy --last 10000 --rate 500/s
              replay plan --topic orders --to-file orders.ndjson --from start --where data.total>=10000
            """)

    @OptionGroup var request: RequestOptions
    @OptionGroup var inbox: InboxOptions
    @OptionGroup var actor: OperatorOptions
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        if let (group, options) = request.rebuild(isDryRun: true) {
            return try await connection.withBroker { broker in
                try await Interruption.deferred {
                    try await RebuildByWorker(
                        group: group, options: options, actor: actor.actor, output: output, broker: broker
                    ).run()
                }
            }
        }
        let request = try request.request()
        try await connection.withBroker { broker in
            let performing = Performing(broker: broker, actor: actor.actor, output: output)
            let plan = try await performing.plan(request, inbox)
            guard plan.selected.count > 0 else { return try output.show(plan, sentence: "nothing to do") }
            let job = try await broker.save(plan, by: actor.actor)
            StandardError.write(plan.text)
            try output.show(plan, sentence: "planned: replay start \(job.id)")
        }
    }
}

/// `replay run`
struct RunCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run",
        abstract: "Plans a replay, asks, and runs it.",
        discussion: """
            Examples:
              replay run --topic orders --group payment --from 2h --reason "lost charges, INC-17"
              replay run --topic orders --group payment --dead --yes
              replay run --mode rebuild --group order --archive /mnt/archive --reason "wrong prices, INC-18"
              replay run --topic orders --to-topic orders-test --from 1d --speed 100x --max-gap 10s --yes
            """)

    @OptionGroup var request: RequestOptions
    @OptionGroup var inbox: InboxOptions
    @OptionGroup var confirmation: ConfirmationOptions
    @OptionGroup var actor: OperatorOptions
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        if let (group, options) = request.rebuild(isDryRun: confirmation.isDryRun) {
            return try await connection.withBroker { broker in
                if !options.isDryRun {
                    let isConfirmed = try confirmation.isConfirmed(
                        "Will have a worker of '\(group)' make its tables anew from the history, and put them in use."
                    )
                    guard isConfirmed else { return }
                }
                try await Interruption.deferred {
                    try await RebuildByWorker(
                        group: group, options: options, actor: actor.actor, output: output, broker: broker
                    ).run()
                }
            }
        }
        try await Self.perform(try request.request(), inbox, confirmation, actor.actor, connection, output)
    }

    static func perform(
        _ request: ReplayRequest, _ inbox: InboxOptions, _ confirmation: ConfirmationOptions,
        _ actor: Operator,
        _ connection: ConnectionOptions, _ output: OutputOptions
    ) async throws {
        try await connection.withBroker { broker in
            let performing = Performing(broker: broker, actor: actor, output: output)
            let plan = try await performing.plan(request, inbox)
            guard plan.selected.count > 0 else { return try performing.report(plan, nil, 0) }
            guard try confirmation.isConfirmed(plan.text) else { return try performing.report(plan, nil, 0) }
            try await performing.run(try await broker.save(plan, by: actor))
        }
    }
}

/// `replay redeliver`: `run` to a group, in short.
struct Redeliver: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Has one group see a range of events again, beside its live reading.",
        discussion: """
            Both ends of the range belong to it; it ends, at the latest, with what the log holds when the command begins. The
            group's inbox skips what was done. The short form of: replay run --group

            Examples:
              replay redeliver --topic orders --group payment --from 15m --to end
              replay redeliver --topic orders --group payment --from 2026-11-23T10:00:00Z --to 2026-11-23T11:00:00Z --yes
              replay redeliver --topic orders --group payment --key o-1 --key o-2 --dry-run
            """)

    @Option(help: "The topic.") var topic: TopicName
    @Option(help: "The group that sees the events again.") var group: GroupName
    @Option(help: "The archive's folder, for what the log has no more: both are read as one history.")
    var archive: String?
    @OptionGroup(title: "Selection") var selection: SelectionOptions
    @OptionGroup(title: "Pace") var pace: PaceOptions
    @OptionGroup var inbox: InboxOptions
    @OptionGroup var confirmation: ConfirmationOptions
    @OptionGroup var actor: OperatorOptions
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions

    func validate() throws { try selection.validateRange() }

    func run() async throws {
        var request = ReplayRequest(topic: topic, to: .group(group))
        request.source = .history(archive: archive)
        (request.from, request.to) = (selection.from ?? .start, selection.to)
        (request.first, request.last) = (selection.first, selection.last)
        request.filter = try selection.filter()
        request.pace = try pace.pace()
        request.limits = try pace.limits()
        try await RunCommand.perform(request, inbox, confirmation, actor.actor, connection, output)
    }
}
