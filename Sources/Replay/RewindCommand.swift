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
            stop its workers first. What was moved is kept under an id, so that it can be undone, whatever was read since.

            Examples:
              replay rewind --topic orders --group payment --to 2h --reason "wrong prices, INC-18"
              replay rewind --topic orders --group payment --to 1763894000000-0 --dry-run
              replay rewind --topic orders --group payment --to end --yes
              replay rewind --undo 019abc5e-7d5a-7000-8000-000000000000
            """)

    @Option(help: "The topic.") var topic: TopicName?
    @Option(help: "The group whose position moves.") var group: GroupName?
    @Option(help: "The first place that it reads then: \(ReplayPoint.forms).", transform: ReplayPoint.parsing)
    var to: ReplayPoint?
    @Option(help: "Only this partition, from 0.") var partition: Int?
    @Option(help: "Back to where the group stood before the rewind of this id.") var undo: String?
    @OptionGroup var confirmation: ConfirmationOptions
    @OptionGroup var actor: OperatorOptions
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions

    private struct Report: Encodable {
        let rewind: String?
        let topic: TopicName
        let group: GroupName
        let moved: Bool
        let readersWoken: Int
        let moves: [Rewind.Move]
    }

    func validate() throws {
        let isWhole = topic != nil && group != nil && to != nil
        let isEmpty = topic == nil && group == nil && to == nil && partition == nil
        guard undo == nil ? isWhole : isEmpty else {
            throw ValidationError("say --topic, --group and --to, or only --undo")
        }
    }

    func run() async throws {
        try await connection.withBroker { broker in
            let rewind: Rewind
            let (topic, group): (TopicName, GroupName)
            if let undo {
                let record = try await broker.rewindRecord(undo)
                rewind = try await Rewind(undoing: record, on: broker)
                (topic, group) = (record.topic, record.group)
            } else if let name = self.topic, let reader = self.group, let to {
                rewind = try await Rewind(
                    topic: name, group: reader, to: to, partition: partition, on: broker)
                (topic, group) = (name, reader)
            } else {
                throw ToolError(.usage, "say --topic, --group and --to, or only --undo")
            }
            let moves = try await rewind.plan()
            func report(_ moves: [Rewind.Move], _ id: String?, woken: Int = 0, _ sentence: String) throws {
                try output.show(
                    Report(
                        rewind: id, topic: topic, group: group, moved: id != nil,
                        readersWoken: woken, moves: moves), sentence: sentence)
            }
            guard try confirmation.isConfirmed(plan(moves, topic, group)) else {
                return try report(moves, nil, "nothing was moved")
            }
            var done: [Rewind.Move] = []
            var id = ""
            do {
                let (record, woken) = try await Interruption.deferred {
                    try await broker.perform(
                        rewind, moves, topic: topic, group: group, by: actor.actor, undoing: undo,
                        onRecord: { id = $0.id }, onMove: { done.append($0) })
                }
                let again = moves.reduce(0) { $0 + $1.readAgain }
                let over = moves.reduce(0) { $0 + $1.passedOver }
                try report(
                    moves, record.id, woken: woken,
                    "moved: \(again) events come again, \(over) are passed over; undo it with: replay rewind --undo \(record.id)"
                )
            } catch  where !done.isEmpty {
                let summary = "moved \(done.count) of \(moves.count) partitions"
                try report(done, id, summary)
                throw ToolError(
                    .partlyDone,
                    "\(summary), then: \(ToolError(error)); undo it with: replay rewind --undo \(id)")
            }
        }
    }

    private func plan(_ moves: [Rewind.Move], _ topic: TopicName, _ group: GroupName) -> String {
        let lines = moves.map { move in
            "  partition \(move.partition): from \(move.from) to \(move.to), "
                + "\(move.readAgain) read again, \(move.passedOver) passed over"
        }
        return (["Will move '\(group)' on '\(topic)':"] + lines).joined(separator: "\n")
    }
}
