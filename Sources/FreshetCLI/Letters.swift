internal import ArgumentParser
internal import Freshet
internal import FreshetService
internal import Hiredis

/// What a group has set aside, for the commands that dead letters and invalid entries share.
protocol SetAsideLetters {
    static var kind: SetAside { get }
    /// What one of them is called.
    static var noun: String { get }
    /// What several are called.
    static var plural: String { get }
}

/// Whose dead letters, or invalid entries.
struct LetterPlace: ParsableArguments {
    @Option(help: "The topic.") var topic: TopicName
    @Option(help: "The group.") var group: GroupName

    /// The topic, when the group reads it, or once did and left some.
    func existingTopic(on broker: Broker, _ kind: SetAside) async throws -> Topic {
        let found = try await broker.existingTopic(topic)
        if try await broker.deadLetterCount(of: group, topic: found, kind) > 0 { return found }
        return try await broker.existingTopic(topic, readBy: group)
    }
}

struct ListLetters<Letters: SetAsideLetters>: AsyncParsableCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(commandName: "list", abstract: "Lists them, oldest first.")
    }
    @OptionGroup var place: LetterPlace
    @OptionGroup var filter: LetterFilter
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        try await connection.withBroker { broker in
            let topic = try await place.existingTopic(on: broker, Letters.kind)
            var rows = output.rowOutput(columns: [
                ("id", { (letter: DeadLetter) in letter.id.description }), ("failed at", { $0.failedAt }),
                ("type", { $0.type }), ("source", { $0.source }), ("event", { $0.eventID }),
                ("attempts", { "\($0.attempts)" }), ("reason", { $0.reason }),
            ])
            for try await letter in broker.deadLetters(of: place.group, topic: topic, Letters.kind)
            where filter.filter.includes(letter) { try rows.add(letter) }
            rows.finish()
        }
    }
}

struct ShowLetters<Letters: SetAsideLetters>: AsyncParsableCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "show",
            abstract: "Shows one whole, with the event's data.",
            discussion: "What is not UTF-8 stands in base64 under its name with _base64.")
    }
    @OptionGroup var place: LetterPlace
    @Option(help: "Which, by the id that 'list' shows.") var id: StreamID
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        try await connection.withBroker { broker in
            let topic = try await broker.existingTopic(place.topic)
            var lines: [EntryLine] = []
            for partition in 0..<topic.partitions {
                let stream = broker.keys(topic.name, partition).setAside(Letters.kind, place.group)
                for try await entry in broker.entries(of: stream, in: id...id) {
                    lines.append(EntryLine(entry, partition: partition))
                }
            }
            guard !lines.isEmpty else {
                throw ToolError(.failed, "no \(Letters.noun) '\(id)' of '\(place.group)' on '\(place.topic)'")
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

struct ErrorsOfLetters<Letters: SetAsideLetters>: AsyncParsableCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "errors",
            abstract:
                "Counts them by kind of failure: their reasons without what differs from event to event.")
    }
    @OptionGroup var place: LetterPlace
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions

    private struct ErrorKind: Encodable {
        let error: String
        var count = 0
        var types: Set<String> = []
        var first = ""
        var last = ""
    }

    func run() async throws {
        try await connection.withBroker { broker in
            let topic = try await place.existingTopic(on: broker, Letters.kind)
            var kinds: [String: ErrorKind] = [:]
            for try await letter in broker.deadLetters(of: place.group, topic: topic, Letters.kind) {
                var kind = kinds[letter.error] ?? ErrorKind(error: letter.error)
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

struct RetryLetters<Letters: SetAsideLetters>: AsyncParsableCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "retry",
            abstract: "Has the group try them again, with all attempts anew.")
    }
    @OptionGroup var place: LetterPlace
    @OptionGroup var selection: LetterSelection
    @OptionGroup var confirmation: ConfirmationOptions
    @OptionGroup var person: OperatorOptions
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        try await LetterChange<Letters>(
            place: place, selection: selection, confirmation: confirmation, verb: "retry",
            actor: person.actor
        )
        .run(connection, output) { broker, topic, letters, onProgress in
            try await broker.retryDeadLetters(
                letters, of: place.group, topic: topic, Letters.kind, onProgress: onProgress)
        }
    }
}

struct DiscardLetters<Letters: SetAsideLetters>: AsyncParsableCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(commandName: "discard", abstract: "Deletes them for good.")
    }
    @OptionGroup var place: LetterPlace
    @OptionGroup var selection: LetterSelection
    @OptionGroup var confirmation: ConfirmationOptions
    @OptionGroup var person: OperatorOptions
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        try await LetterChange<Letters>(
            place: place, selection: selection, confirmation: confirmation, verb: "discard",
            actor: person.actor
        )
        .run(connection, output) { broker, topic, letters, onProgress in
            try await broker.discardDeadLetters(
                letters, of: place.group, topic: topic, Letters.kind, onProgress: onProgress)
        }
    }
}
