internal import ArgumentParser
internal import Freshet
internal import FreshetService
internal import Hiredis

/// `freshet dead`
struct Dead: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Dead letters: events whose attempts were used up.",
        discussion: """
            Examples:
              freshet dead list --topic orders --group payment
              freshet dead retry --topic orders --group payment --id 1763894000000-0 1763894000001-0
              freshet dead retry --topic orders --group payment --all --dry-run
              freshet dead discard --topic orders --group payment --all --yes
            """,
        subcommands: [List.self, Retry.self, Discard.self])

    /// Whose dead letters.
    struct Place: ParsableArguments {
        @Option(help: "The topic.") var topic: TopicName
        @Option(help: "The group.") var group: GroupName

        /// The topic, when the group reads it, or once did and left dead letters.
        func existingTopic(on broker: Broker) async throws -> Topic {
            let found = try await broker.existingTopic(topic)
            if try await broker.deadLetterCount(of: group, topic: found) > 0 { return found }
            return try await broker.existingTopic(topic, readBy: group)
        }
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Lists them, oldest first.")
        @OptionGroup var place: Place
        @OptionGroup var connection: ConnectionOptions
        @OptionGroup var output: OutputOptions

        func run() async throws {
            try await connection.withBroker { broker in
                let topic = try await place.existingTopic(on: broker)
                var rows = output.rowOutput(columns: [
                    ("id", { (letter: DeadLetter) in letter.id.description }), ("failed at", { $0.failedAt }),
                    ("type", { $0.type }), ("source", { $0.source }), ("event", { $0.eventID }),
                    ("attempts", { "\($0.attempts)" }), ("reason", { $0.reason }),
                ])
                for try await letter in broker.deadLetters(of: place.group, topic: topic) {
                    try rows.add(letter)
                }
                rows.finish()
            }
        }
    }

    struct Retry: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Has the group try them again, with all attempts anew.")
        @OptionGroup var place: Place
        @OptionGroup var selection: DeadSelection
        @OptionGroup var confirmation: ConfirmationOptions
        @OptionGroup var connection: ConnectionOptions
        @OptionGroup var output: OutputOptions

        func run() async throws {
            try await DeadChange(
                place: place, selection: selection, confirmation: confirmation, verb: "retry"
            )
            .run(connection, output) { broker, topic, letters, onProgress in
                try await broker.retryDeadLetters(
                    letters, of: place.group, topic: topic, onProgress: onProgress)
            }
        }
    }

    struct Discard: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Deletes them for good.")
        @OptionGroup var place: Place
        @OptionGroup var selection: DeadSelection
        @OptionGroup var confirmation: ConfirmationOptions
        @OptionGroup var connection: ConnectionOptions
        @OptionGroup var output: OutputOptions

        func run() async throws {
            try await DeadChange(
                place: place, selection: selection, confirmation: confirmation, verb: "discard"
            )
            .run(connection, output) { broker, topic, letters, onProgress in
                try await broker.discardDeadLetters(
                    letters, of: place.group, topic: topic, onProgress: onProgress)
            }
        }
    }
}
