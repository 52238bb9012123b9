internal import ArgumentParser
internal import Freshet
internal import FreshetService

/// `freshet groups`
struct Groups: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "How each group stands on each topic.",
        discussion: """
            length     events in the log
            waiting    not taken by any consumer yet; 1000000+ when there are more than were counted
            pending    taken by a consumer and not settled
            delayed    retries that wait for their time
            dead       given up: see freshet dead
            invalid    could not be read
            oldest     age of the oldest event that is waiting or pending
            consumers  processes that the server knows in the group

            Examples:
              freshet groups --namespace shop
              freshet groups --topic orders --group payment --format json
            """)

    @Option(help: "Only this topic.") var topic: TopicName?
    @Option(help: "Only this group.") var group: GroupName?
    @Flag(help: "A row for each partition; JSON has them anyway.") var partitions = false
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions

    private struct PartitionRow: Encodable {
        let topic: TopicName
        let group: GroupName
        let row: GroupReport.Partition
    }

    func run() async throws {
        try await connection.withBroker { broker in
            let reports = try await broker.groupReports(topic: topic, group: group)
            if reports.isEmpty { try await explain(broker) }
            if partitions, output.kind == .table {
                return try output.show(
                    reports.flatMap { report in
                        report.partitions.map {
                            PartitionRow(topic: report.topic, group: report.group, row: $0)
                        }
                    },
                    columns: [
                        ("topic", { $0.topic.rawValue }), ("group", { $0.group.rawValue }),
                        ("partition", { "\($0.row.partition)" }), ("length", { "\($0.row.length)" }),
                        ("waiting", { $0.row.lagKnown ? "\($0.row.waiting)" : "\($0.row.waiting)+" }),
                        ("pending", { "\($0.row.pending)" }), ("delayed", { "\($0.row.delayed)" }),
                        ("dead", { "\($0.row.dead)" }), ("invalid", { "\($0.row.invalid)" }),
                        ("oldest", { $0.row.oldestWaitingSeconds.map(Self.age) ?? "-" }),
                    ])
            }
            try output.show(
                reports,
                columns: [
                    ("topic", { $0.topic.rawValue }), ("group", { $0.group.rawValue }),
                    ("length", { "\($0.length)" }),
                    ("waiting", { $0.lagKnown ? "\($0.waiting)" : "\($0.waiting)+" }),
                    ("pending", { "\($0.pending)" }), ("delayed", { "\($0.delayed)" }),
                    ("dead", { "\($0.dead)" }), ("invalid", { "\($0.invalid)" }),
                    ("oldest", { $0.oldestWaitingSeconds.map(Self.age) ?? "-" }),
                    ("consumers", { "\($0.consumers.count)" }),
                ])
        }
    }

    /// A name that does not exist is an error; a system without groups is not.
    private func explain(_ broker: Broker) async throws {
        if let topic, let group { _ = try await broker.existingTopic(topic, readBy: group) }
        if let topic { _ = try await broker.existingTopic(topic) }
        if let group {
            throw ToolError(.failed, "no group '\(group)' in the namespace '\(broker.namespace)'")
        }
        StandardError.write("There are no groups in the namespace '\(broker.namespace)'.")
    }

    private static func age(_ seconds: Double) -> String {
        let whole = Int(seconds)
        if whole < 120 { return "\(whole)s" }
        if whole < 7200 { return "\(whole / 60)m" }
        return whole < 172_800 ? "\(whole / 3600)h" : "\(whole / 86_400)d"
    }
}
