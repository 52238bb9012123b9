internal import ArgumentParser
internal import Freshet
internal import FreshetService
internal import Hiredis

/// Which dead letters are changed: never all of them by leaving something out.
struct DeadSelection: ParsableArguments {
    @Option(parsing: .upToNextOption, help: "These dead letters, by the ids that 'list' shows.")
    var id: [StreamID] = []

    @Flag(help: "All of the group's dead letters of the topic.")
    var all = false

    @Option(help: "With --id: the partition, where the same id stands in several.")
    var partition: Int?

    func validate() throws {
        guard all != !id.isEmpty else { throw ValidationError("say which: either --id ID ... or --all") }
        guard partition == nil || !all else { throw ValidationError("--partition goes with --id") }
    }

    /// Throws when an id stands nowhere, or in several partitions.
    func letters(of place: Dead.Place, topic: Topic, on broker: Broker) async throws
        -> (selection: DeadLetterSelection, count: Int)
    {
        if all {
            return (.all, try await broker.deadLetterCount(of: place.group, topic: topic))
        }
        var letters: [DeadLetter] = []
        for id in Set(id).sorted() {
            let found = try await broker.deadLetters(at: id, of: place.group, topic: topic)
                .filter { partition == nil || $0.partition == partition }
            guard let letter = found.first else {
                throw ToolError(.failed, "no dead letter '\(id)' of '\(place.group)' on '\(place.topic)'")
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

/// A change of dead letters: says what it will do, asks, does it, and reports.
struct DeadChange {
    let place: Dead.Place
    let selection: DeadSelection
    let confirmation: ConfirmationOptions
    let verb: String

    private struct Report: Encodable {
        let topic: String
        let group: String
        let selected: Int
        let changed: Int
    }

    func run(
        _ connection: ConnectionOptions, _ output: OutputOptions,
        _ action: (Broker, Topic, DeadLetterSelection, (Int) -> Bool) async throws -> Int
    ) async throws {
        try await connection.withBroker { broker in
            // An id that does not exist says enough by itself.
            let topic =
                try await
                (selection.all ? place.existingTopic(on: broker) : broker.existingTopic(place.topic))
            let (letters, selected) = try await selection.letters(of: place, topic: topic, on: broker)
            func report(_ changed: Int) throws {
                try output.show(
                    Report(
                        topic: topic.name.rawValue, group: place.group.rawValue, selected: selected,
                        changed: changed),
                    sentence: "\(verb): \(changed) of \(selected)")
            }
            let noun = "dead letter\(selected == 1 ? "" : "s") of '\(place.group)' on '\(place.topic)'"
            guard selected > 0 else {
                StandardError.write("There are no \(noun).")
                return try report(0)
            }
            guard try confirmation.isConfirmed("Will \(verb) \(selected) \(noun).") else {
                return try report(0)
            }
            var changed = 0
            do {
                changed = try await Interruption.deferred {
                    try await action(broker, topic, letters) { count in
                        changed = count
                        return !Interruption.isRequested
                    }
                }
            } catch  where changed > 0 {
                try report(changed)
                throw ToolError(.partlyDone, "\(verb): \(changed) of \(selected), then: \(ToolError(error))")
            }
            try report(changed)
            if Interruption.isRequested && changed < selected {
                throw ToolError(.interrupted, "interrupted after \(changed) of \(selected)")
            }
            // Somebody else took some of them, or the group has them no longer.
            if changed < selected {
                throw ToolError(.partlyDone, "\(selected - changed) were gone by then")
            }
        }
    }
}
