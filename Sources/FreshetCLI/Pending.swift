internal import ArgumentParser
internal import Freshet
internal import FreshetService
internal import Hiredis

/// `freshet pending`
struct Pending: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract:
            "Events that were delivered and are not settled: who holds them, since when, and when they are tried again.",
        discussion: """
            Examples:
              freshet pending --topic orders --group payment
              freshet pending --topic orders --group payment --idle-over 30s
              freshet pending --group payment --consumer payment-7f3a --format ndjson | jq -r .eventID

            state       held: with a consumer; delayed: waits for its next attempt (see freshet retries); gone: someone has
                        deleted its entry
            idle        since its consumer took it or renewed its claim, which it does each third of a lease; with the ordering
                        perKey it is the partition that is renewed
            deliveries  how often the server has given it to a consumer
            failed      attempts that failed

            What is held is handed over by the group itself: a consumer that is silent for a lease loses its events to the others.
            There is no command that takes an event from a consumer that lives: its handler would run twice at the same time.
            """)

    @OptionGroup var selection: GroupSelection
    @Option(help: "Only what this consumer holds.") var consumer: String?
    @Option(help: "Only what was not taken or renewed for so long (30s, 5m).", transform: Duration.parsing)
    var idleOver: Duration?
    @Option(help: "How many are printed at most.") var limit = 100
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard (1...1_000_000_000).contains(limit) else {
            throw ValidationError("--limit is a whole number from 1")
        }
    }

    func run() async throws {
        try await connection.withBroker { broker in
            var which = UnsettledSelection()
            (which.consumer, which.idleOver) = (consumer, idleOver)
            var rows = output.rowOutput(columns: [
                ("topic", { (event: UnsettledEvent) in event.topic.rawValue }),
                ("group", { $0.group.rawValue }),
                ("partition", { "\($0.partition)" }), ("id", { $0.position?.description ?? "-" }),
                ("event", { $0.eventID }), ("type", { $0.type }), ("key", { $0.key }),
                ("state", { $0.isGone ? "gone" : $0.state.rawValue }), ("consumer", { $0.consumer ?? "-" }),
                ("idle", { $0.idleSeconds.map(Spelled.time) ?? "-" }),
                ("deliveries", { $0.deliveries.map(String.init) ?? "-" }),
                ("failed", { "\($0.failedAttempts)" }),
                ("next attempt", { $0.nextAttempt ?? "-" }),
            ])
            var places: [(topic: Topic, group: GroupName)] = []
            let topics: [Topic]
            if let name = selection.topic {
                topics = [try await broker.existingTopic(name)]
            } else {
                topics = try await broker.topics()
            }
            for topic in topics {
                for group in try await broker.groups(of: topic)
                where selection.group == nil || group == selection.group { places.append((topic, group)) }
            }
            if places.isEmpty { try await selection.explainNothing(broker) }
            var printed = 0
            var isCut = false
            for (topic, group) in places where !isCut {
                try await broker.forEachUnsettled(of: group, topic: topic, where: which) { event in
                    guard printed < limit else {
                        isCut = true
                        return false
                    }
                    try rows.add(event)
                    printed += 1
                    return true
                }
            }
            rows.finish()
            if isCut { StandardError.write("There are more: --limit \(limit).") }
        }
    }
}
