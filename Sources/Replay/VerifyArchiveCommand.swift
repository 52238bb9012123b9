internal import ArgumentParser
internal import Freshet
internal import FreshetReplay
internal import FreshetService
internal import Hiredis

/// `replay verify-archive`
struct VerifyArchiveCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify-archive",
        abstract: "Looks whether an archive is whole, and names what is not.",
        discussion: """
            Every segment is read, every line looked into: a missing, moved or altered file, a forged count or id is named, and
            the exit code is 65. Redis is not needed, unless what the live logs still have is to be compared byte for byte.

            Examples:
              replay verify-archive /mnt/archive
              replay verify-archive /mnt/archive --topic orders --against-redis
            """)

    @Argument(help: "The folder.") var folder: String
    @Option(help: "Only this topic; repeatable.") var topic: [TopicName] = []
    @Flag(help: "Compare with what the live logs still have.") var againstRedis = false
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        let archive = try Archive(folder)
        var topics = try archive.topics()
        for name in topic where !topics.contains(where: { $0.topic == name }) {
            let names = topics.map(\.topic.rawValue).joined(separator: ", ")
            throw ToolError(
                .failed,
                "no topic '\(name)' in '\(folder)' (there are: \(names.isEmpty ? "none" : names))")
        }
        if !topic.isEmpty { topics.removeAll { !topic.contains($0.topic) } }
        guard !topics.isEmpty else {
            throw ToolError(.failed, "there is no archived topic in '\(folder)'")
        }
        if againstRedis {
            try await connection.withBroker { try await verify(archive, topics, $0) }
        } else {
            try await verify(archive, topics, nil)
        }
    }

    private func verify(
        _ archive: Archive, _ topics: [(namespace: Namespace, topic: TopicName)], _ broker: Broker?
    ) async throws {
        typealias Report = ArchiveVerification.Report
        var rows: RowOutput<Report> = output.rowOutput(columns: [
            ("namespace", { $0.namespace.rawValue }), ("topic", { $0.topic.rawValue }),
            ("partition", { $0.partition.map(String.init) ?? "-" }), ("segments", { "\($0.segments)" }),
            ("events", { "\($0.events)" }), ("missing", { "\($0.missing)" }),
            ("first", { $0.first?.description ?? "-" }), ("last", { $0.last?.description ?? "-" }),
            ("compared", { "\($0.compared)" }), ("problems", { "\($0.problems.count)" }),
        ])
        let verification = ArchiveVerification(of: archive, comparedWith: broker)
        var problems = 0
        for (namespace, topic) in topics {
            var progress = ArchiveProgress("verified")
            for report in try await verification.verify(
                namespace, topic, onProgress: { progress.show($0, of: topic.rawValue) })
            {
                try rows.add(report)
                problems += report.problems.count
                for problem in report.problems { StandardError.write("replay: \(OneLine.escaped(problem))") }
            }
        }
        rows.finish()
        if problems > 0 {
            throw ToolError(
                .badData, "the archive is not whole: \(problems) problem\(problems == 1 ? "" : "s")")
        }
    }
}
