internal import ArgumentParser
internal import Freshet
internal import FreshetReplay
internal import FreshetService
internal import Hiredis

/// `replay archive`
struct ArchiveCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "archive",
        abstract: "Copies topics to a folder, once or as a service.",
        discussion: """
            Everything up to now is copied to FOLDER/NAMESPACE/TOPIC: segments of compressed JSON lines with a manifest, and what
            'replay restore' needs beside them: what is declared, where groups stand, their dead letters. Killed at any
            moment, the archive is whole, and the next run goes on where it ended. Each segment is read again before the topic
            is told that it is archived; a retention with "archived": true ('freshet topics apply') cuts off nothing else.

            One archiver a topic: while another is at work the exit code is 75. Events that were cut off before they could be
            archived are counted in the manifest and said; the exit code is then 2.

            Examples:
              replay archive --topic orders --to /mnt/archive
              replay archive --all --to /mnt/archive --follow --every 10s
            """)

    @Option(help: "A topic; repeatable.") var topic: [TopicName] = []
    @Flag(help: "All topics of the namespace.") var all = false
    @Option(help: "The folder; made when it is not there.") var to: String
    @Flag(help: "Go on as a service, until SIGTERM or Ctrl-C.") var follow = false
    @Option(help: "With --follow: how long to wait between two looks (500ms, 10s, 5m).", transform: pause)
    var every = Duration.seconds(10)
    @Option(help: "How many events a segment has at most.") var segmentEvents = ArchiverOptions()
        .segmentEvents
    @Option(help: "How many bytes of lines a segment has at most, about, before compression.")
    var segmentBytes = ArchiverOptions().segmentBytes
    @Option(help: "How hard to compress: 1 is fast, 19 is small.") var level = ArchiverOptions().level
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions

    static func pause(_ text: String) throws -> Duration {
        guard let pause = Duration(spelled: text), pause > .zero else {
            throw ValidationError("'\(text)' is no duration: 500ms, 10s, 5m")
        }
        return pause
    }

    func validate() throws {
        guard all != !topic.isEmpty else {
            throw ValidationError("Either --topic or --all says what to archive")
        }
        guard segmentEvents > 0 else { throw ValidationError("--segment-events is a number from 1") }
        guard segmentBytes > 0 else { throw ValidationError("--segment-bytes is a number from 1") }
        guard (1...19).contains(level) else { throw ValidationError("--level is 1 to 19") }
        if follow, output.kind == .json {
            throw ValidationError("--follow never ends one JSON document: use --format ndjson")
        }
    }

    func run() async throws {
        try await connection.withBroker { broker in
            Interruption.includeTermination()
            try await Interruption.deferred {
                try await ArchiveFailure.named {
                    var run = ArchiveRun(command: self, broker: broker)
                    do {
                        try await run.run()
                    } catch {
                        await run.close()
                        throw error
                    }
                    await run.close()
                }
            }
        }
    }
}

/// The topics' archivers, pass after pass.
private struct ArchiveRun {
    let command: ArchiveCommand
    let broker: Broker
    private var archivers: [TopicName: Archiver] = [:]
    private var rows: RowOutput<ArchiveReport>
    private var progress = ArchiveProgress("archived")
    private var missing = 0

    init(command: ArchiveCommand, broker: Broker) {
        self.command = command
        self.broker = broker
        rows = command.output.rowOutput(columns: [
            ("topic", { $0.topic.rawValue }), ("partition", { "\($0.partition)" }),
            ("archived", { "\($0.archived)" }), ("missing", { "\($0.missing)" }),
            ("total", { "\($0.total)" }),
            ("segments", { "\($0.segments)" }), ("first", { $0.first?.description ?? "-" }),
            ("last", { $0.last?.description ?? "-" }),
        ])
    }

    mutating func run() async throws {
        var isFirst = true
        repeat {
            do {
                try await pass(showsAll: isFirst && !command.follow)
                isFirst = false
            } catch  where command.follow && isPassing(error) {
                StandardError.write("replay: \(ToolError(error)); looking again in \(command.every)")
            }
            if command.follow { try await wait() }
        } while command.follow && !Interruption.isRequested
        progress.end()
        rows.finish()
        if command.follow { return }
        if Interruption.isRequested {
            throw ToolError(
                .interrupted, "interrupted; what was archived is whole, and the next run goes on there")
        }
        if missing > 0 {
            throw ToolError(
                .partlyDone, "\(missing) events were gone from the log before they could be archived")
        }
    }

    private mutating func pass(showsAll: Bool) async throws {
        for topic in try await topics() {
            let archiver = try await archiver(of: topic)
            progress = ArchiveProgress("archived")
            let reports = try await archiver.pass { count in
                progress.show(count, of: topic.name.rawValue)
                return !Interruption.isRequested
            }
            for report in reports {
                if report.missing > 0 {
                    missing += report.missing
                    StandardError.write(
                        "replay: GAP: \(report.missing) events of '\(report.topic)' partition \(report.partition) were gone from "
                            + "the log before they could be archived; the manifest says so")
                }
                if showsAll || report.archived > 0 || report.missing > 0 { try rows.add(report) }
            }
            if command.follow { rows.flush() }
            if Interruption.isRequested { return }
        }
    }

    private func topics() async throws -> [Topic] {
        if command.all { return try await broker.topics() }
        var topics: [Topic] = []
        for name in command.topic where !topics.contains(where: { $0.name == name }) {
            topics.append(try await broker.existingTopic(name))
        }
        return topics
    }

    private mutating func archiver(of topic: Topic) async throws -> Archiver {
        if let known = archivers[topic.name] { return known }
        var options = ArchiverOptions()
        options.segmentEvents = command.segmentEvents
        options.segmentBytes = command.segmentBytes
        options.level = command.level
        let archiver = try await Archiver.open(topic, on: broker, to: command.to, options: options)
        archivers[topic.name] = archiver
        return archiver
    }

    func close() async { for archiver in archivers.values { await archiver.close() } }

    /// A server that is away for a while.
    private func isPassing(_ error: any Error) -> Bool {
        switch error {
        case let error as FreshetError: error.isRetryable
        case let error as RedisError: error.isRetryable
        default: false
        }
    }

    private func wait() async throws {
        let end = ContinuousClock.now + command.every
        while ContinuousClock.now < end, !Interruption.isRequested {
            try await Task.sleep(for: min(.milliseconds(100), end - .now))
            do {
                for archiver in archivers.values { try await archiver.keep() }
            } catch  where isPassing(error) {
                // The next pass says so.
            }
        }
    }
}
