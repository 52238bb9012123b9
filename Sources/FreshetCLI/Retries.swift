internal import ArgumentParser
internal import Freshet
internal import FreshetService
internal import Hiredis

/// `freshet retries`
struct Retries: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Retries: events whose handler failed and that wait for their next attempt.",
        discussion: """
            Examples:
              freshet retries list --topic orders --group payment
              freshet retries now --topic orders --group payment --all
              freshet retries cancel --topic orders --group payment --event 0196a2… --dry-run

            A cancelled retry becomes a dead letter: 'freshet dead retry' brings it back.
            """,
        subcommands: [List.self, Now.self, Cancel.self])

    /// Which retries.
    struct Selection: ParsableArguments {
        @Option(parsing: .upToNextOption, help: "These events, by the ids that 'list' shows.")
        var event: [String] = []

        @Flag(help: "All of the group's retries of the topic.")
        var all = false

        @Option(help: "Only events of this type.") var type: EventType?

        func validate() throws {
            guard !all || event.isEmpty else { throw ValidationError("either --event ID ... or --all") }
        }

        var retries: RetrySelection {
            var selection = RetrySelection()
            if !event.isEmpty { selection.eventIDs = Set(event) }
            selection.type = type
            return selection
        }
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Lists them, soonest first.")
        @OptionGroup var place: LetterPlace
        @Option(help: "Only events of this type.") var type: EventType?
        @OptionGroup var connection: ConnectionOptions
        @OptionGroup var output: OutputOptions

        func run() async throws {
            try await connection.withBroker { broker in
                let topic = try await broker.existingTopic(place.topic, readBy: place.group)
                var rows = output.rowOutput(columns: [
                    ("due at", { (retry: ScheduledRetry) in retry.dueAt }), ("type", { $0.type }),
                    ("key", { $0.key }), ("event", { $0.eventID }), ("attempts", { "\($0.attempts)" }),
                    ("reason", { $0.reason }),
                ])
                var selection = RetrySelection()
                selection.type = type
                try await broker.forEachRetry(of: place.group, topic: topic, where: selection) { retry in
                    try rows.add(retry)
                    return true
                }
                rows.finish()
            }
        }
    }

    struct Now: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Has the group try them again now.")
        @OptionGroup var place: LetterPlace
        @OptionGroup var selection: Selection
        @OptionGroup var confirmation: ConfirmationOptions
        @OptionGroup var person: OperatorOptions
        @OptionGroup var connection: ConnectionOptions
        @OptionGroup var output: OutputOptions

        func run() async throws {
            try await Retries.change(.now, place, selection, confirmation, person.actor, connection, output)
        }
    }

    struct Cancel: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Makes dead letters of them.")
        @OptionGroup var place: LetterPlace
        @OptionGroup var selection: Selection
        @OptionGroup var confirmation: ConfirmationOptions
        @OptionGroup var person: OperatorOptions
        @OptionGroup var connection: ConnectionOptions
        @OptionGroup var output: OutputOptions

        func run() async throws {
            try await Retries.change(
                .cancel, place, selection, confirmation, person.actor, connection, output)
        }
    }

    private static func change(
        _ change: RetryChange, _ place: LetterPlace, _ selection: Selection,
        _ confirmation: ConfirmationOptions, _ actor: Operator,
        _ connection: ConnectionOptions, _ output: OutputOptions
    ) async throws {
        guard selection.all || !selection.event.isEmpty || selection.type != nil else {
            throw ToolError(.usage, "say which: --event ID ..., --type TYPE, or --all")
        }
        try await connection.withBroker { broker in
            let topic = try await broker.existingTopic(place.topic, readBy: place.group)
            var selected = 0
            var missing = Set(selection.event)
            try await broker.forEachRetry(of: place.group, topic: topic, where: selection.retries) { retry in
                selected += 1
                missing.remove(retry.eventID)
                return true
            }
            if let first = missing.sorted().first {
                throw ToolError(
                    .failed, "no retry of the event '\(first)' of '\(place.group)' on '\(place.topic)'")
            }
            let noun = selected == 1 ? "retry" : "retries"
            try await Change(
                place: place, noun: "\(noun) of '\(place.group)' on '\(place.topic)'", verb: change.rawValue,
                action: "retries.\(change)", confirmation: confirmation, actor: actor
            )
            .run(selected, output, on: broker) { onProgress in
                try await broker.changeRetries(
                    change, of: place.group, topic: topic, where: selection.retries, onProgress: onProgress)
            }
        }
    }
}
