internal import ArgumentParser
internal import Freshet
internal import FreshetService
internal import Hiredis

/// Which letters are meant, by what they are.
struct LetterFilter: ParsableArguments {
    @Option(help: "Only events of this type.") var type: EventType?
    @Option(help: "Only those of this error, as 'errors' prints it.") var error: String?

    var filter: DeadLetterFilter { DeadLetterFilter(type: type, error: error) }
    var isGiven: Bool { type != nil || error != nil }
}

/// Which are changed: never all of them by leaving something out.
struct LetterSelection: ParsableArguments {
    @Option(parsing: .upToNextOption, help: "These, by the ids that 'list' shows.")
    var id: [StreamID] = []

    @Flag(help: "All that the group has of the topic.")
    var all = false

    @Option(help: "With --id: the partition, where the same id stands in several.")
    var partition: Int?

    @OptionGroup var filter: LetterFilter

    func validate() throws {
        let ways = [all, !id.isEmpty, filter.isGiven].count { $0 }
        guard ways == 1 else {
            throw ValidationError("say which: --id ID ..., --all, or --type and --error")
        }
        guard partition == nil || !id.isEmpty else { throw ValidationError("--partition goes with --id") }
    }

    /// Throws when an id stands nowhere, or in several partitions.
    func letters(of place: LetterPlace, topic: Topic, on broker: Broker, _ kind: SetAside, _ noun: String)
        async throws
        -> (selection: DeadLetterSelection, count: Int)
    {
        if all {
            return (.all, try await broker.deadLetterCount(of: place.group, topic: topic, kind))
        }
        if filter.isGiven {
            var count = 0
            for try await letter in broker.deadLetters(of: place.group, topic: topic, kind)
            where filter.filter.includes(letter) { count += 1 }
            return (.matching(filter.filter), count)
        }
        var letters: [DeadLetter] = []
        for id in Set(id).sorted() {
            let found = try await broker.deadLetters(at: id, of: place.group, topic: topic, kind)
                .filter { partition == nil || $0.partition == partition }
            guard let letter = found.first else {
                throw ToolError(.failed, "no \(noun) '\(id)' of '\(place.group)' on '\(place.topic)'")
            }
            guard found.count == 1 else {
                let partitions = found.map { "\($0.partition)" }.joined(separator: ", ")
                throw ToolError(
                    .usage, "'\(id)' stands in the partitions \(partitions): say which with --partition")
            }
            letters.append(letter)
        }
        return (.these(letters), letters.count)
    }
}

/// A change of what was set aside.
struct LetterChange<Letters: SetAsideLetters> {
    let place: LetterPlace
    let selection: LetterSelection
    let confirmation: ConfirmationOptions
    let verb: String
    let actor: Operator

    func run(
        _ connection: ConnectionOptions, _ output: OutputOptions,
        _ action: (Broker, Topic, DeadLetterSelection, (Int) -> Bool) async throws -> Int
    ) async throws {
        try await connection.withBroker { broker in
            // An id that does not exist says enough by itself.
            let topic =
                try await
                (selection.id.isEmpty
                ? place.existingTopic(on: broker, Letters.kind) : broker.existingTopic(place.topic))
            let (letters, selected) = try await selection.letters(
                of: place, topic: topic, on: broker, Letters.kind, Letters.noun)
            let noun =
                "\(selected == 1 ? Letters.noun : Letters.plural) of '\(place.group)' on '\(place.topic)'"
            try await Change(
                place: place, noun: noun, verb: verb, action: "\(Letters.kind).\(verb)",
                confirmation: confirmation, actor: actor
            )
            .run(selected, output, on: broker) { onProgress in
                try await action(broker, topic, letters, onProgress)
            }
        }
    }
}
