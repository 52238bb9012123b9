internal import ArgumentParser
internal import Freshet
internal import FreshetService

/// `freshet groups`
struct Groups: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "How each group stands on each topic: whether it keeps up, and what it lacks.",
        discussion: """
            Examples:
              freshet groups --namespace shop
              freshet groups --watch
              freshet groups --topic orders --group payment --format json
              freshet groups --watch --format ndjson | jq -r '[.asOf, .group, .state, .waiting] | @tsv'
              freshet groups --partitions --over 0s

            length     events in the log
            waiting    not taken by any consumer yet; 1000000+ when there are more than were counted
            pending    taken by a consumer and not settled
            delayed    retries that wait for their time
            dead       given up: see freshet dead
            invalid    could not be read: see freshet invalid
            oldest     age of the oldest event that is waiting or pending
            consumers  processes of the group that live: see freshet consumers
            outlook    what it means, from two looks (--over apart): what came in and what was settled between them

            As JSON there are inPerSecond, outPerSecond, secondsUntilEmpty, replicasMissing, the sentence, and a state: idle,
            keeps-up, draining, falling-behind, stalled, no-consumers, unmeasured (--over 0s).
            """)

    @OptionGroup var selection: GroupSelection
    @Flag(help: "A row for each partition; JSON has them anyway.") var partitions = false
    @Option(
        help: "How long to measure rates; 0s does not. With --watch the time from look to look.",
        transform: Duration.parsing)
    var over = Duration.seconds(2)
    @Flag(
        help: "Look again and again, until Ctrl-C: drawn anew on a terminal, elsewhere a JSON line per group."
    )
    var watch = false
    @OptionGroup var leases: LeaseOptions
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard over < .seconds(3600) else { throw ValidationError("--over is less than an hour") }
        guard watch else { return }
        if over <= .zero { throw ValidationError("--watch measures rates: --over is above 0s") }
        if output.kind == .json {
            throw ValidationError("with --watch a JSON document would never end: use --format ndjson")
        }
    }

    func run() async throws {
        let lease = try leases.chosen()
        try await connection.withBroker { broker in
            let first = try await look(broker, lease, countingUpTo: over > .zero ? 0 : 1_000_000)
            if first.isEmpty { try await selection.explainNothing(broker) }
            if watch { return try await follow(broker, lease, from: first) }
            guard over > .zero, !first.isEmpty else { return try show(first.map { GroupRow($0, pace: nil) }) }
            try await Task.sleep(for: over)
            let second = try await look(broker, lease)
            try await show(rows(second, since: first, broker))
        }
    }

    /// Counting goes through what waits: again and again only so much of it, and the server's own figure serves for the rest.
    private static let mostWatched = 100_000

    private func look(_ broker: Broker, _ lease: Duration, countingUpTo most: Int = 1_000_000) async throws
        -> [GroupLook]
    {
        try await broker.groupLooks(
            topic: selection.topic, group: selection.group, countingUpTo: most, lease: lease)
    }

    private func rows(_ looks: [GroupLook], since earlier: [GroupLook], _ broker: Broker) async throws
        -> [GroupRow]
    {
        var rows: [GroupRow] = []
        for look in looks {
            let before = earlier.first {
                $0.report.topic == look.report.topic && $0.report.group == look.report.group
            }
            var pace: GroupPace?
            if let before { pace = try await broker.pace(from: before, to: look) }
            rows.append(GroupRow(look, pace: pace))
        }
        return rows
    }

    /// A server that goes away is waited for.
    private func follow(_ broker: Broker, _ lease: Duration, from first: [GroupLook]) async throws {
        let isTerminal = StandardOutput.terminalWidth != nil && output.kind == .table
        var earlier = first
        var isFailing = false
        while true {
            try await Task.sleep(for: over)
            do {
                let looks = try await look(broker, lease, countingUpTo: Self.mostWatched)
                let rows = try await rows(looks, since: earlier, broker)
                earlier = looks
                isFailing = false
                if isTerminal {
                    StandardOutput.redraw(
                        asOf: "as of \(Timestamp.now().description.dropFirst(11).prefix(8)) UTC")
                    try show(rows)
                } else {
                    for row in rows { StandardOutput.write(try OutputOptions.json(row, pretty: false)) }
                }
            } catch let error as FreshetError where error.isRetryable {
                if !isFailing { StandardError.write("freshet: \(error); trying again") }
                isFailing = true
            }
        }
    }

    private struct PartitionRow: Encodable {
        let topic: TopicName
        let group: GroupName
        let row: GroupReport.Partition
    }

    private func show(_ rows: [GroupRow]) throws {
        if partitions, output.kind == .table {
            return try output.show(
                rows.flatMap { row in
                    row.look.report.partitions.map {
                        PartitionRow(topic: row.look.report.topic, group: row.look.report.group, row: $0)
                    }
                },
                columns: [
                    ("topic", { $0.topic.rawValue }), ("group", { $0.group.rawValue }),
                    ("partition", { "\($0.row.partition)" }), ("length", { "\($0.row.length)" }),
                    ("waiting", { $0.row.lagKnown ? "\($0.row.waiting)" : "\($0.row.waiting)+" }),
                    ("pending", { "\($0.row.pending)" }), ("delayed", { "\($0.row.delayed)" }),
                    ("dead", { "\($0.row.dead)" }), ("invalid", { "\($0.row.invalid)" }),
                    ("oldest", { $0.row.oldestWaitingSeconds.map(Spelled.time) ?? "-" }),
                ])
        }
        try output.show(
            rows,
            columns: [
                ("topic", { $0.look.report.topic.rawValue }), ("group", { $0.look.report.group.rawValue }),
                ("length", { "\($0.look.report.length)" }),
                (
                    "waiting",
                    { $0.look.report.lagKnown ? "\($0.look.report.waiting)" : "\($0.look.report.waiting)+" }
                ),
                ("pending", { "\($0.look.report.pending)" }), ("delayed", { "\($0.look.report.delayed)" }),
                ("dead", { "\($0.look.report.dead)" }), ("invalid", { "\($0.look.report.invalid)" }),
                ("oldest", { $0.look.report.oldestWaitingSeconds.map(Spelled.time) ?? "-" }),
                ("consumers", { "\($0.consumersAlive)" }), ("outlook", { $0.outlook.sentence }),
            ])
    }
}

/// A group as it is printed: its figures, and what they mean.
struct GroupRow: Encodable {
    let look: GroupLook
    let pace: GroupPace?
    let outlook: GroupOutlook
    var consumersAlive: Int { look.consumers.count { $0.state != .dead } }

    init(_ look: GroupLook, pace: GroupPace?) {
        self.look = look
        self.pace = pace
        outlook = GroupOutlook(look, pace: pace)
    }

    private enum Member: String, CodingKey {
        case asOf, consumersAlive, inPerSecond, outPerSecond, overSeconds, ordering
    }

    /// The members of the report, of the outlook, and its own, side by side.
    func encode(to encoder: any Encoder) throws {
        try look.report.encode(to: encoder)
        try outlook.encode(to: encoder)
        var members = encoder.container(keyedBy: Member.self)
        try members.encode(Timestamp(milliseconds: Int64(look.time * 1000)).description, forKey: .asOf)
        try members.encode(consumersAlive, forKey: .consumersAlive)
        try members.encodeIfPresent(look.ordering, forKey: .ordering)
        try members.encodeIfPresent(pace?.inPerSecond, forKey: .inPerSecond)
        try members.encodeIfPresent(pace?.outPerSecond, forKey: .outPerSecond)
        try members.encodeIfPresent(pace?.seconds, forKey: .overSeconds)
    }
}
