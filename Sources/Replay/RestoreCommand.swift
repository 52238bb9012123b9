internal import ArgumentParser
internal import Freshet
internal import FreshetReplay
internal import FreshetService
internal import Hiredis

/// `replay restore`
struct RestoreCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "restore",
        abstract: "Brings topics back from an archive, or publishes a range of one anew.",
        discussion: """
            Into a Redis that does not have the topic: its entries with their ids, its declaration, its groups before the oldest
            event that they had not settled, dead letters and invalid entries. A topic that has entries is refused. Killed on
            its way, run it again: it goes on from there. Start the workers afterwards.

            With --anew events of a range are published to a topic that is there, under new stream ids and their own event ids,
            by which inboxes skip what they have. Every segment is checked before anything is changed.

            Examples:
              replay restore --from /mnt/archive --all --dry-run
              replay restore --from /mnt/archive --topic orders --yes
              replay restore --from /mnt/archive --topic orders --anew --range-from 2h --range-to end --yes
              replay restore --from /mnt/archive --topic orders --anew --publish-as orders-again --yes
            """)

    @Option(help: "The archive's folder.") var from: String
    @Option(help: "A topic; repeatable.") var topic: [TopicName] = []
    @Flag(help: "All topics that the archive has of the namespace.") var all = false
    @Flag(help: "Publish events anew instead, to a topic that is there.") var anew = false
    @Option(help: "With --anew: the topic to publish to; without it the same.") var publishAs: TopicName?
    @Option(help: "With --anew: the first place: \(ReplayPoint.forms).", transform: ReplayPoint.parsing)
    var rangeFrom: ReplayPoint?
    @Option(help: "With --anew: the last place, in the same forms.", transform: ReplayPoint.parsing)
    var rangeTo: ReplayPoint?
    @OptionGroup var confirmation: ConfirmationOptions
    @OptionGroup var actor: OperatorOptions
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard all != !topic.isEmpty else {
            throw ValidationError("Either --topic or --all says what to restore")
        }
        guard anew || publishAs == nil && rangeFrom == nil && rangeTo == nil else {
            throw ValidationError("--publish-as, --range-from and --range-to belong to --anew")
        }
        guard !anew || topic.count == 1 else { throw ValidationError("--anew takes one --topic") }
    }

    func run() async throws {
        let archive = try Archive(from)
        try await connection.withBroker { broker in
            if anew { return try await publish(archive, broker) }
            try await restore(archive, broker)
        }
    }

    // MARK: - With the original ids

    private struct Row: Encodable {
        let topic: String
        let restored: Bool
        let savedAt: String
        let partitions: [Restoration.Partition]
        var events: Int { partitions.reduce(0) { $0 + $1.events } }
        var setAside: Int { partitions.reduce(0) { $0 + $1.setAside } }
        var missing: Int { partitions.reduce(0) { $0 + $1.missing } }
    }

    private func restore(_ archive: Archive, _ broker: Broker) async throws {
        var names = topic
        if all {
            names = try archive.topics().filter { $0.namespace == broker.namespace }.map(\.topic)
            guard !names.isEmpty else {
                throw ToolError(
                    .failed, "there is no topic of the namespace '\(broker.namespace)' in '\(from)'")
            }
        }
        // All are looked at before the first is restored.
        var restorations: [Restoration] = []
        for name in names {
            restorations.append(try await Restoration(of: name, from: archive, on: broker))
        }
        let isConfirmed = try confirmation.isConfirmed(
            restorations.flatMap(plan).joined(separator: "\n"))
        var rows: RowOutput<Row> = output.rowOutput(columns: [
            ("topic", { $0.topic }), ("partitions", { "\($0.partitions.count)" }),
            ("events", { "\($0.events)" }),
            ("set aside", { "\($0.setAside)" }), ("missing", { "\($0.missing)" }),
            ("restored", { $0.restored ? "yes" : "no" }),
        ])
        try await Interruption.deferred {
            for restoration in restorations {
                var progress = ArchiveProgress("restored")
                let total = restoration.partitions.reduce(0) { $0 + $1.events }
                var isWhole = false
                if isConfirmed {
                    (_, isWhole) = try await restoration.run { done in
                        progress.show(done, of: restoration.topic.rawValue, total: total)
                        return !Interruption.isRequested
                    }
                }
                if isWhole {
                    try await audit("replay.restore", restoration.topic, to: restoration.topic, broker)
                }
                try rows.add(
                    Row(
                        topic: restoration.topic.rawValue, restored: isWhole, savedAt: restoration.savedAt,
                        partitions: restoration.partitions))
                if isConfirmed, !isWhole {
                    rows.finish()
                    throw ToolError(
                        .interrupted,
                        "interrupted within '\(restoration.topic)': run it again, and it goes on from there")
                }
            }
        }
        rows.finish()
    }

    private func plan(_ restoration: Restoration) -> [String] {
        let verb = restoration.isResumed ? "Will go on restoring" : "Will restore"
        return ["\(verb) '\(restoration.topic)' as it was archived at \(restoration.savedAt):"]
            + restoration.partitions.map { part in
                let groups = part.groups.sorted { $0.key < $1.key }.map { "\($0.key) after \($0.value)" }
                return "  partition \(part.partition): \(part.events) events, \(part.setAside) set aside"
                    + (part.missing > 0 ? ", \(part.missing) missing" : "")
                    + (groups.isEmpty ? "" : "; groups: \(groups.joined(separator: ", "))")
            }
    }

    // MARK: - Anew

    private struct Published: Encodable {
        let topic: String
        let to: String
        let from: StreamID
        let through: StreamID
        let selected: Int
        let published: Int
    }

    private func audit(_ action: String, _ topic: TopicName, to target: TopicName, _ broker: Broker)
        async throws
    {
        try await broker.audit(
            action, by: actor.actor, topic: topic, target: target.rawValue, replay: "",
            details: "from \(from)")
    }

    private func publish(_ archive: Archive, _ broker: Broker) async throws {
        let source = topic[0]
        let target = publishAs ?? source
        let republication = try await Republication(
            of: source, from: archive, to: target, in: (rangeFrom ?? .start, rangeTo ?? .end), on: broker)
        guard republication.from <= republication.to || rangeFrom == .end || rangeTo == .start else {
            throw ToolError(
                .usage, "--range-from (\(republication.from)) lies behind --range-to (\(republication.to))")
        }
        let selected = try await republication.survey()
        var count = 0
        func report() throws {
            try output.show(
                Published(
                    topic: source.rawValue, to: target.rawValue, from: republication.from,
                    through: republication.to, selected: selected, published: count),
                sentence: "published \(count) events to '\(target)'")
        }
        guard selected > 0 else {
            StandardError.write("Nothing of '\(source)' lies in this range.")
            return try report()
        }
        guard
            try confirmation.isConfirmed(
                "Will publish \(selected) events of '\(source)' anew to '\(target)'.")
        else { return try report() }
        var progress = ArchiveProgress("published")
        do {
            try await Interruption.deferred {
                let lost = try await republication.run { done in
                    count = done
                    progress.show(done, of: target.rawValue, total: selected)
                    return !Interruption.isRequested
                }.lost
                if lost > 0 { Performing.sayLost(lost) }
            }
        } catch  where count > 0 {
            try report()
            throw ToolError(.partlyDone, "\(count) of \(selected) were published, then: \(ToolError(error))")
        }
        try await audit("replay.restore.anew", source, to: target, broker)
        try report()
        if Interruption.isRequested, count < selected {
            throw ToolError(.interrupted, "interrupted after \(count) of \(selected)")
        }
    }
}
