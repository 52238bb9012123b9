internal import ArgumentParser
internal import Freshet
internal import FreshetService

/// A change of several things: says what it will do, asks, does it, and reports.
struct Change {
    let place: LetterPlace
    /// What is changed, in the number that there are.
    let noun: String
    let verb: String
    /// As the audit stream names it.
    let action: String
    let confirmation: ConfirmationOptions
    let actor: Operator

    private struct Report: Encodable {
        let topic: String
        let group: String
        let selected: Int
        let changed: Int
    }

    /// - Parameter action: changes them, and calls what it is given with the count after each step; false ends it there.
    func run(
        _ selected: Int, _ output: OutputOptions, on broker: Broker,
        _ action: (@escaping (Int) -> Bool) async throws -> Int
    ) async throws {
        func report(_ changed: Int) throws {
            try output.show(
                Report(
                    topic: place.topic.rawValue, group: place.group.rawValue, selected: selected,
                    changed: changed),
                sentence: "\(verb): \(changed) of \(selected)")
        }
        guard selected > 0 else {
            StandardError.write("There are no \(noun).")
            return try report(0)
        }
        guard try confirmation.isConfirmed("Will \(verb) \(selected) \(noun).") else { return try report(0) }
        func audit(_ action: String, _ details: String) async throws {
            try await broker.audit(
                action, by: actor, topic: place.topic, target: place.group.rawValue, replay: "",
                details: details)
        }
        // Before anything changes: who is killed meanwhile is on record, too.
        try await audit(self.action, "\(selected) \(noun)")
        var changed = 0
        do {
            changed = try await Interruption.deferred {
                try await action { count in
                    changed = count
                    return !Interruption.isRequested
                }
            }
        } catch {
            try? await audit("\(self.action).stopped", "\(changed) of \(selected): \(ToolError(error))")
            guard changed > 0 else { throw error }
            try report(changed)
            throw ToolError(.partlyDone, "\(verb): \(changed) of \(selected), then: \(ToolError(error))")
        }
        // First: it is done, whatever becomes of its record.
        try report(changed)
        try await audit("\(self.action).done", "\(changed) of \(selected)")
        if Interruption.isRequested && changed < selected {
            throw ToolError(.interrupted, "interrupted after \(changed) of \(selected)")
        }
        // Somebody else took some of them, or the group has them no longer.
        if changed < selected {
            throw ToolError(.partlyDone, "\(selected - changed) were gone by then")
        }
    }
}
