internal import ArgumentParser
internal import Freshet
internal import FreshetService

/// `freshet dead`
struct Dead: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Dead letters: events whose attempts were used up.",
        subcommands: [List.self, Retry.self, Discard.self])

    /// Which dead letters.
    struct Selection: ParsableArguments {
        @Option(help: "The topic.") var topic: TopicName
        @Option(help: "The group.") var group: GroupName
        @Option(help: "Only this dead letter; repeatable.") var id: [String] = []

        func letters(on broker: Broker) async throws -> (topic: Topic, letters: [DeadLetter]) {
            guard let found = try await broker.topics().first(where: { $0.name == topic }) else {
                throw ToolError(.failed, "no topic '\(topic)' in '\(broker.namespace)'")
            }
            let all = try await broker.deadLetters(topic: found, group: group)
            if let unknown = id.first(where: { id in !all.contains { $0.id == id } }) {
                throw ToolError(.failed, "no dead letter '\(unknown)' of '\(group)' on '\(topic)'")
            }
            return (found, id.isEmpty ? all : all.filter { id.contains($0.id) })
        }
    }

    struct Report: Encodable {
        let selected: Int
        let changed: Int
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Lists them, oldest first.")
        @OptionGroup var selection: Selection
        @OptionGroup var connection: ConnectionOptions
        @OptionGroup var output: OutputOptions

        func run() async throws {
            try await connection.withBroker { broker in
                try output.show(
                    try await selection.letters(on: broker).letters,
                    columns: [
                        ("id", { $0.id }), ("failed at", { $0.failedAt }), ("type", { $0.type }),
                        ("event", { $0.eventID }), ("attempts", { "\($0.attempts)" }),
                        ("reason", { String($0.reason.prefix(80)) }),
                    ])
            }
        }
    }

    struct Retry: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Has the group try them again, with all attempts.")
        @OptionGroup var selection: Selection
        @OptionGroup var confirmation: ConfirmationOptions
        @OptionGroup var connection: ConnectionOptions
        @OptionGroup var output: OutputOptions

        func run() async throws {
            try await Dead.change(self.selection, confirmation, connection, output, verb: "retry") {
                try await $0.retry($1, topic: $2, group: selection.group)
            }
        }
    }

    struct Discard: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Deletes them for good.")
        @OptionGroup var selection: Selection
        @OptionGroup var confirmation: ConfirmationOptions
        @OptionGroup var connection: ConnectionOptions
        @OptionGroup var output: OutputOptions

        func run() async throws {
            try await Dead.change(self.selection, confirmation, connection, output, verb: "discard") {
                try await $0.discard($1, topic: $2, group: selection.group)
            }
        }
    }

    private static func change(
        _ selection: Selection, _ confirmation: ConfirmationOptions, _ connection: ConnectionOptions,
        _ output: OutputOptions, verb: String,
        _ action: (Broker, DeadLetter, TopicName) async throws -> Bool
    ) async throws {
        try await connection.withBroker { broker in
            let (topic, letters) = try await selection.letters(on: broker)
            var changed = 0
            let plan =
                "Will \(verb) \(letters.count) dead letters of '\(selection.group)' on '\(selection.topic)'."
            if letters.isEmpty {
                StandardError.write(
                    "There are no dead letters of '\(selection.group)' on '\(selection.topic)'.")
            } else if try confirmation.isConfirmed(plan) {
                for letter in letters where try await action(broker, letter, topic.name) { changed += 1 }
            }
            try output.show(
                Report(selected: letters.count, changed: changed),
                sentence: "\(verb): \(changed) of \(letters.count)")
        }
    }
}
