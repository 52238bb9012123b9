internal import ArgumentParser
internal import Freshet
internal import FreshetService

/// `freshet groups`
struct Groups: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract:
            "How each group stands on each topic: waiting, pending, delayed, dead, invalid, oldest age, consumers."
    )

    @Option(help: "Only this topic.") var topic: TopicName?
    @Option(help: "Only this group.") var group: GroupName?
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        try await connection.withBroker { broker in
            let reports = try await broker.groupReports(topic: topic, group: group)
            if reports.isEmpty { StandardError.write("no groups in '\(broker.namespace)'") }
            try output.show(
                reports,
                columns: [
                    ("topic", { $0.topic.rawValue }), ("group", { $0.group.rawValue }),
                    ("length", { "\($0.length)" }),
                    ("waiting", { $0.lagKnown ? "\($0.waiting)" : "\($0.waiting)+" }),
                    ("pending", { "\($0.pending)" }),
                    ("delayed", { "\($0.delayed)" }), ("dead", { "\($0.dead)" }),
                    ("invalid", { "\($0.invalid)" }),
                    ("oldest", { $0.oldestWaitingSeconds.map { Self.age($0) } ?? "-" }),
                    ("consumers", { "\($0.consumers.count)" }),
                ])
        }
    }

    private static func age(_ seconds: Double) -> String {
        let whole = Int(seconds)
        if whole < 120 { return "\(whole)s" }
        return whole < 7200 ? "\(whole / 60)m" : "\(whole / 3600)h"
    }
}
