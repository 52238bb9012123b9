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
            archived are counted in the manifest and said; the exit code is then 2. A topic that cannot be archived, such as
            one whose log is gone, holds up no other; with --follow it is said once, and tried again at each look.

            A retention that waits for the archive goes by one folder: another one is written as well, and that is said.

            With --follow and HTTP_PORT it answers /livez, /readyz, /startupz and /metrics there (docs/metrics.md), and
            'replay health' asks it.

            Examples:
              replay archive --topic orders --to /mnt/archive
              replay archive --all --to /mnt/archive --follow --every 10s --http-port 8080
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
    @Flag(help: "Retention goes by this archive, also when another one was at work within the last day.")
    var takeOver = false
    @Flag(help: "Print each setting with its value and where it comes from, and exit.")
    var printConfig = false
    @OptionGroup var http: HTTPFlags
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
        if printConfig { return try ServedTool.show(connection, http, as: output) }
        guard follow else { return try await connection.withBroker(archive) }
        try await ServedTool.run("archiver", connection, at: http) { broker, _ in try await archive(broker) }
    }

    private func archive(_ broker: Broker) async throws {
        Interruption.includeTermination()
        try await Interruption.deferred {
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
