internal import ArgumentParser
internal import Freshet
internal import FreshetReplay
internal import FreshetService

/// `replay rewind`
struct RewindCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rewind",
        abstract: "Moves a group's own position, back or forth.",
        discussion: """
            The place is the first one that the group reads from then on. Going back, it reads again what lies between, and its
            inbox skips what was done; going forth, it passes over what was waiting. The group must hold nothing of the log:
            stop its workers first. The old position is reported, so that the group can be moved back.

            Examples:
              replay rewind --topic orders --group payment --to 2h
              replay rewind --topic orders --group payment --to 1763894000000-0 --dry-run
              replay rewind --topic orders --group payment --to end --yes
            """)

    @Option(help: "The topic.") var topic: TopicName
    @Option(help: "The group whose position moves.") var group: GroupName
    @Option(help: "The first place that it reads then: \(ReplayPoint.forms).", transform: ReplayPoint.parsing)
    var to: ReplayPoint
    @Option(help: "Only this partition, from 0.") var partition: Int?
    @OptionGroup var confirmation: ConfirmationOptions
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions

    private struct Report: Encodable {
        let topic: String
        let group: String
        let moved: Bool
        let readersWoken: Int
        let moves: [Rewind.Move]
    }

    func run() async throws {
        try await connection.withBroker { broker in
            let rewind = try await Rewind(
                topic: topic, group: group, to: to, partition: partition, on: broker)
            let moves = try await rewind.plan()
            guard try confirmation.isConfirmed(plan(moves)) else {
                return try report(moves, moved: false, woken: 0, "nothing was moved")
            }
            var done: [Rewind.Move] = []
            let woken: Int
            do {
                woken = try await Interruption.deferred {
                    try await rewind.run(moves) { done.append($0) }
                }
            } catch  where !done.isEmpty {
                let reason = ToolError(error).description
                try report(done, moved: true, woken: 0, "moved \(done.count) of \(moves.count) partitions")
                throw ToolError(
                    .partlyDone, "moved \(done.count) of \(moves.count) partitions, then: \(reason)")
            }
            let again = moves.reduce(0) { $0 + $1.readAgain }
            let over = moves.reduce(0) { $0 + $1.passedOver }
            try report(
                moves, moved: true, woken: woken, "moved: \(again) events come again, \(over) are passed over"
            )
        }
    }

    private func plan(_ moves: [Rewind.Move]) -> String {
        let lines = moves.map { move in
            "  partition \(move.partition): from \(move.from) to \(move.to), "
                + "\(move.readAgain) read again, \(move.passedOver) passed over"
        }
        return (["Will move '\(group)' on '\(topic)':"] + lines).joined(separator: "\n")
    }

    private func report(_ moves: [Rewind.Move], moved: Bool, woken: Int, _ sentence: String) throws {
        try output.show(
            Report(
                topic: topic.rawValue, group: group.rawValue, moved: moved, readersWoken: woken, moves: moves),
            sentence: sentence)
    }
}
