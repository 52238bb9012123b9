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
              freshet dead errors --topic orders --group payment
              freshet dead show --topic orders --group payment --id 1763894000000-0
              freshet dead retry --topic orders --group payment --error 'no answer within # s'
              freshet dead retry --topic orders --group payment --id 1763894000000-0 1763894000001-0
              freshet dead retry --topic orders --group payment --all --dry-run
              freshet dead discard --topic orders --group payment --all --yes
            """,
        subcommands: [List.self, Show.self, Errors.self, Retry.self, Discard.self])

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
        @OptionGroup var filter: DeadFilter
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
                for try await letter in broker.deadLetters(of: place.group, topic: topic)
                where filter.filter.includes(letter) { try rows.add(letter) }
                rows.finish()
            }
        }
    }

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Shows one whole, with the event's data.",
            discussion: "What is not UTF-8 stands in base64 under its name with _base64.")
        @OptionGroup var place: Place
        @Option(help: "The dead letter, by the id that 'list' shows.") var id: StreamID
        @OptionGroup var connection: ConnectionOptions
        @OptionGroup var output: OutputOptions

        func run() async throws {
            try await connection.withBroker { broker in
                let topic = try await broker.existingTopic(place.topic)
                var lines: [EntryLine] = []
                for partition in 0..<topic.partitions {
                    let dead = broker.keys(topic.name, partition).dead(place.group)
                    for try await entry in broker.entries(of: dead, in: id...id) {
                        lines.append(EntryLine(entry, partition: partition))
                    }
                }
                guard !lines.isEmpty else {
                    throw ToolError(.failed, "no dead letter '\(id)' of '\(place.group)' on '\(place.topic)'")
                }
                guard output.kind == .table else { return try output.show(lines, columns: []) }
                for line in lines {
                    StandardOutput.write("partition: \(line.partition)")
                    for (name, value) in line.fields.sorted(by: { $0.key < $1.key }) {
                        StandardOutput.write("\(name): \(value)")
                    }
                }
            }
        }
    }

    struct Errors: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract:
                "Counts them by kind of failure: their reasons without what differs from event to event.")
        @OptionGroup var place: Place
        @OptionGroup var connection: ConnectionOptions
        @OptionGroup var output: OutputOptions

        private struct Kind: Encodable {
            let error: String
            var count = 0
            var types: Set<String> = []
            var first = ""
            var last = ""
        }

        func run() async throws {
            try await connection.withBroker { broker in
                let topic = try await place.existingTopic(on: broker)
                var kinds: [String: Kind] = [:]
                for try await letter in broker.deadLetters(of: place.group, topic: topic) {
                    var kind = kinds[letter.error] ?? Kind(error: letter.error)
                    kind.count += 1
                    kind.types.insert(letter.type)
                    kind.first = kind.first.isEmpty ? letter.failedAt : min(kind.first, letter.failedAt)
                    kind.last = max(kind.last, letter.failedAt)
                    kinds[letter.error] = kind
                }
                try output.show(
                    kinds.values.sorted { ($1.count, $0.error) < ($0.count, $1.error) },
                    columns: [
                        ("count", { "\($0.count)" }), ("first", { $0.first }), ("last", { $0.last }),
                        ("types", { $0.types.sorted().joined(separator: ", ") }), ("error", { $0.error }),
                    ])
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
