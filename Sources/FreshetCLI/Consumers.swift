internal import ArgumentParser
internal import Freshet
internal import FreshetService

/// `freshet consumers`
struct Consumers: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract:
            "The processes of each group: whether they live, what they hold, which partitions they own.",
        discussion: """
            Examples:
              freshet consumers --topic orders --group payment
              freshet consumers --format ndjson | jq 'select(.state == "dead" and .pending > 0)'
              freshet consumers --group payment --remove-dead --dry-run

            state       alive: owns a partition, has met the group, was heard of within a lease, or waits in a read
                        dead: nothing of that; others take over what it holds within two leases
                        unknown: silent and without events, and the server does not show connections (ACL: CLIENT|LIST)
            pending     events that it holds
            oldest      age of the oldest of them
            idle        since the server last heard a read or claim of it (Redis 7.0: since it last got something)
            partitions  its own, with the ordering perKey

            --remove-dead takes the names of dead consumers out of their groups, when they hold nothing: what one holds would be
            lost with its name. Workers do the same after ten minutes.
            """)

    @OptionGroup var selection: GroupSelection
    @Flag(help: "Remove the names of dead consumers that hold nothing.") var removeDead = false
    @OptionGroup var leases: LeaseOptions
    @OptionGroup var confirmation: ConfirmationOptions
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        if confirmation.isDryRun, !removeDead { throw ValidationError("--dry-run goes with --remove-dead") }
    }

    func run() async throws {
        let lease = try leases.chosen()
        try await connection.withBroker { broker in
            let looks = try await broker.groupLooks(
                topic: selection.topic, group: selection.group, countingUpTo: 0, lease: lease)
            if looks.isEmpty { try await selection.explainNothing(broker) }
            if removeDead { return try await remove(from: looks, broker) }
            try show(looks.flatMap(\.consumers))
        }
    }

    private func show(_ consumers: [ConsumerReport]) throws {
        try output.show(
            consumers,
            columns: [
                ("topic", { $0.topic.rawValue }), ("group", { $0.group.rawValue }), ("consumer", { $0.name }),
                ("state", { $0.state.rawValue }), ("pending", { "\($0.pending)" }),
                ("oldest", { $0.oldestPendingSeconds.map(Spelled.time) ?? "-" }),
                ("idle", { Spelled.time($0.idleSeconds) }),
                (
                    "partitions",
                    { $0.partitions.isEmpty ? "-" : $0.partitions.map(String.init).joined(separator: ",") }
                ),
            ])
    }

    /// Prints those that were removed, or would be.
    private func remove(from looks: [GroupLook], _ broker: Broker) async throws {
        let dead = looks.flatMap(\.consumers).filter { $0.state == .dead }
        let holding = dead.filter { $0.pending > 0 }
        if !holding.isEmpty {
            let count = holding.reduce(0) { $0 + $1.pending }
            StandardError.write(
                "\(Spelled.number(holding.count, "dead consumer")) with \(Spelled.number(count, "event")) stay: a worker of the "
                    + "group takes these over first.")
        }
        let empty = dead.filter { $0.pending == 0 }
        guard !empty.isEmpty else {
            StandardError.write("There are no dead consumers that hold nothing.")
            return try show([])
        }
        let plan =
            "Will remove the names of \(Spelled.number(empty.count, "dead consumer")) that hold nothing."
        guard try confirmation.isConfirmed(plan) else { return try show(empty) }
        var removed: [ConsumerReport] = []
        for look in looks {
            let names = empty.filter { $0.topic == look.report.topic && $0.group == look.report.group }
            let gone = try await broker.removeConsumers(
                names.map(\.name), of: look.report.group, topic: look.topic)
            removed += names.filter { gone.contains($0.name) }
        }
        try show(removed)
        if removed.count < empty.count {
            throw ToolError(.partlyDone, "\(empty.count - removed.count) hold events by now, and stay")
        }
    }
}
