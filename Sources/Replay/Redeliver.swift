internal import ArgumentParser
internal import Freshet
internal import FreshetReplay
internal import FreshetService
internal import Hiredis

/// `replay redeliver`
struct Redeliver: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Has one group see a range of events again, beside its live reading.",
        discussion: """
            Both ends of the range belong to it; it ends, at the latest, with what the log holds when the command begins. The
            group's inbox skips what was done.

            Examples:
              replay redeliver --topic orders --group payment --from 15m --to end
              replay redeliver --topic orders --group payment --from 2026-11-23T10:00:00Z --to 2026-11-23T11:00:00Z --yes
              replay redeliver --topic orders --group payment --from start --to end --key o-1 --key o-2 --dry-run
            """)

    @Option(help: "The topic.") var topic: TopicName
    @Option(help: "The group that sees the events again.") var group: GroupName
    @Option(help: "The first place: \(ReplayPoint.forms).", transform: ReplayPoint.parsing) var from:
        ReplayPoint
    @Option(help: "The last place, in the same forms.", transform: ReplayPoint.parsing) var to: ReplayPoint
    @Option(help: "Only events of this type; repeatable.") var type: [EventType] = []
    @Option(help: "Only events with this partition key; repeatable.") var key: [String] = []
    @OptionGroup var confirmation: ConfirmationOptions
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions

    private struct Report: Encodable {
        let replay: String
        let topic: String
        let group: String
        let from: StreamID
        let to: StreamID
        let selected: RedeliverySurvey
        let redelivered: Int
    }

    func run() async throws {
        try await connection.withBroker { broker in
            let redelivery = try await Redelivery(
                RedeliverySelection(
                    topic: topic, group: group, from: from, to: to, types: Set(type), keys: Set(key)),
                on: broker)
            guard redelivery.from <= redelivery.to || from == .end || to == .start else {
                throw ToolError(.usage, "--from (\(redelivery.from)) lies behind --to (\(redelivery.to))")
            }
            let survey = try await redelivery.survey()
            var count = 0
            func report() throws {
                try output.show(
                    Report(
                        replay: redelivery.id, topic: topic.rawValue, group: group.rawValue,
                        from: redelivery.from, to: redelivery.to, selected: survey, redelivered: count),
                    sentence: "redelivered \(count) events to '\(group)'")
            }
            guard survey.count > 0 else {
                StandardError.write("Nothing of '\(topic)' lies in this range.")
                return try report()
            }
            guard try confirmation.isConfirmed(plan(survey)) else { return try report() }
            do {
                try await Interruption.deferred { try await perform(redelivery, survey.count, &count) }
            } catch  where count > 0 {
                try report()
                throw ToolError(
                    .partlyDone, "\(count) of \(survey.count) were redelivered, then: \(ToolError(error))")
            }
            try report()
            if Interruption.isRequested && count < survey.count {
                throw ToolError(.interrupted, "interrupted after \(count) of \(survey.count)")
            }
        }
    }

    private func perform(_ redelivery: Redelivery, _ total: Int, _ count: inout Int) async throws {
        var progress = Progress(total: total)
        count = try await redelivery.run { done in
            count = done
            progress.show(done)
            return !Interruption.isRequested
        }
    }

    private func plan(_ survey: RedeliverySurvey) -> String {
        let types = survey.types.sorted { $0.key < $1.key }
            .map { "\($0.value) \($0.key.isEmpty ? "without a type" : OneLine.escaped($0.key))" }
        let range = "\(survey.first?.description ?? "") to \(survey.last?.description ?? "")"
        let ahead =
            survey.ahead == 0
            ? ""
            : " \(survey.ahead) of them it has not read yet, and will see twice; an inbox tells them apart."
        return "Will have '\(group)' see \(survey.count) events of '\(topic)' again "
            + "(\(types.joined(separator: ", "))), from \(range).\(ahead)"
    }
}

/// How far a run is, drawn anew in one line on a terminal; nowhere else.
private struct Progress {
    let total: Int
    private var isDrawn = false

    init(total: Int) { self.total = total }

    mutating func show(_ done: Int) {
        guard StandardError.isTerminal else { return }
        StandardError.write("\(isDrawn ? "\u{1b}[1A\u{1b}[2K" : "")\(done) of \(total)")
        isDrawn = true
    }
}
