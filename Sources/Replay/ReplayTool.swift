public import ArgumentParser
internal import Freshet
public import FreshetReplay
internal import FreshetService
internal import Glibc

/// Recovery: events that must be seen again.
@main
struct ReplayTool: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "replay",
        abstract: "Recovers lost work: has a group see events again, or moves its position.",
        discussion: """
            Examples:
              replay redeliver --topic orders --group payment --from 2h --to end --type order.placed --dry-run
              replay redeliver --topic orders --group payment --from start --to end --yes
              replay rewind --topic orders --group payment --to 2026-11-23T10:00:00Z

            A place is start, end, an RFC 3339 time, a stream id, or a duration back from now (90s, 15m, 2h, 7d). Both \
            commands say what they will do and ask; off a terminal they need --yes.

            Exit codes: 64 usage, 69 Redis unreachable, 78 wrong password or URL, 1 anything else.
            """,
        subcommands: [Redeliver.self, RewindCommand.self])

    static func main() async { await Tool.main(Self.self) }
}

extension ReplayPoint: ExpressibleByArgument {
    /// A place, as `init(_:now:)` reads it.
    public init?(argument: String) { self.init(argument) }
}

/// `replay redeliver`
struct Redeliver: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract:
            "Has one group see a range of events again, beside its live reading. Its inbox skips what was done."
    )

    @Option(help: "The topic.") var topic: TopicName
    @Option(help: "The group that sees the events again.") var group: GroupName
    @Option(help: "The first place.") var from: ReplayPoint
    @Option(help: "The last place.") var to: ReplayPoint
    @Option(help: "Only events of this type.") var type: EventType?
    @Option(help: "Only events with this partition key.") var key: String?
    @OptionGroup var confirmation: ConfirmationOptions
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions

    private struct Report: Encodable {
        let replay: String
        let topic: String
        let group: String
        let selected: Redelivery.Survey
        let redelivered: Int
    }

    func run() async throws {
        let (lower, upper) = (from.asLowerBound, to.asUpperBound)
        guard lower <= upper else { throw ToolError(.usage, "--from lies behind --to") }
        try await connection.withBroker { broker in
            let selection = Redelivery.Selection(
                topic: topic, group: group, range: lower...upper, type: type, key: key)
            let redelivery = try await Redelivery(selection, on: broker)
            let survey = try await redelivery.survey()
            let types = survey.types.sorted { $0.key < $1.key }.map { "\($0.value) \($0.key)" }.joined(
                separator: ", ")
            let plan =
                survey.count == 0
                ? "Nothing of '\(topic)' lies in this range."
                : "Will have '\(group)' see \(survey.count) events of '\(topic)' again (\(types)), "
                    + "from \(survey.first ?? "") to \(survey.last ?? "")."
            var count = 0
            if survey.count == 0 {
                StandardError.write(plan)
            } else if try confirmation.isConfirmed(plan) {
                let showsProgress = isatty(2) == 1
                count = try await redelivery.run { done in
                    if showsProgress { StandardError.write("\u{1b}[1A\u{1b}[2K\(done) of \(survey.count)") }
                }
            }
            let report = Report(
                replay: redelivery.id, topic: topic.rawValue, group: group.rawValue, selected: survey,
                redelivered: count)
            try output.show(report, sentence: "redelivered \(count) events to '\(group)'")
        }
    }
}

/// `replay rewind`
struct RewindCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rewind",
        abstract: "Moves a group's own position. The group must hold no events: stop its workers first.")

    @Option(help: "The topic.") var topic: TopicName
    @Option(help: "The group whose position moves.") var group: GroupName
    @Option(help: "The first place that it reads from then on.") var to: ReplayPoint
    @OptionGroup var confirmation: ConfirmationOptions
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions

    private struct Report: Encodable {
        let topic: String
        let group: String
        let moved: Bool
        let moves: [Rewind.Move]
    }

    func run() async throws {
        try await connection.withBroker { broker in
            let rewind = try await Rewind(topic: topic, group: group, to: to, on: broker)
            let moves = try await rewind.plan()
            let lines = moves.map { move in
                "  partition \(move.partition): from \(move.from) to \(move.to), "
                    + "\(move.readAgain) read again, \(move.passedOver) passed over"
            }
            let plan = "Will move '\(group)' on '\(topic)':\n" + lines.joined(separator: "\n")
            let isConfirmed = try confirmation.isConfirmed(plan)
            if isConfirmed { try await rewind.run(moves) }
            let again = moves.reduce(0) { $0 + $1.readAgain }
            let over = moves.reduce(0) { $0 + $1.passedOver }
            try output.show(
                Report(topic: topic.rawValue, group: group.rawValue, moved: isConfirmed, moves: moves),
                sentence: isConfirmed
                    ? "moved: \(again) events come again, \(over) are passed over" : "nothing was moved")
        }
    }
}
