internal import ArgumentParser
internal import Freshet
internal import FreshetReplay
internal import FreshetService
internal import Hiredis

/// `freshet tail`
struct Tail: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Prints a topic's events, and with --follow those that come.",
        discussion: """
            Without --from it begins with the newest events (--count, 10 unless said otherwise). With --from it prints what
            stands there and behind, and stops after --count events, if that is given.

            As JSON an event has all its fields; one that is not UTF-8 stands in base64 under its name with _base64.

            Examples:
              freshet tail orders --namespace shop
              freshet tail orders --from 2026-11-23T10:00:00Z --count 100 --format ndjson
              freshet tail orders --from end --follow
            """)

    @Argument(help: "The topic.") var topic: TopicName
    @Option(help: "Where to begin: \(ReplayPoint.forms).", transform: ReplayPoint.parsing) var from:
        ReplayPoint?
    @Option(help: "How many events.") var count: Int?
    @Flag(help: "Go on with what comes, until Ctrl-C.") var follow = false
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        if let count, !(0...1_000_000_000).contains(count) {
            throw ValidationError("--count is a whole number from 0")
        }
        if follow && output.kind == .json {
            throw ValidationError("with --follow a JSON document would never end: use --format ndjson")
        }
    }

    func run() async throws {
        try await connection.withBroker { broker in
            var run = TailRun(
                broker: broker, topic: try await broker.existingTopic(topic), output: output,
                left: from == nil ? .max : count ?? .max)
            if let from {
                try await run.print(from: from)
            } else {
                try await run.printNewest(count ?? 10)
            }
            if follow { try await run.follow() }
            run.finish()
        }
    }
}

/// One run of `freshet tail`.
private struct TailRun {
    let broker: Broker
    let topic: Topic
    /// How many events are still wanted.
    private var left: Int
    /// Behind which entry each partition goes on.
    private var positions: [StreamID]
    private var output: RowOutput<EntryLine>

    init(broker: Broker, topic: Topic, output: OutputOptions, left: Int) {
        self.broker = broker
        self.topic = topic
        self.left = left
        positions = Array(repeating: .zero, count: topic.partitions)
        self.output = output.rowOutput(columns: [
            ("id", { $0.id }), ("type", { $0.type }), ("key", { $0.key }), ("data", { $0.data }),
        ])
    }

    mutating func printNewest(_ count: Int) async throws {
        var newest: [(partition: Int, entry: StreamEntry)] = []
        for partition in 0..<topic.partitions {
            // One more than none: where to go on from is wanted in any case.
            let entries = try await broker.newestEntries(
                of: topic.name, partition: partition, count: max(1, count))
            positions[partition] = entries.last?.id ?? .zero
            newest += entries.map { (partition, $0) }
        }
        for (partition, entry) in newest.sorted(by: { $0.entry.id < $1.entry.id }).suffix(count) {
            try print(entry, partition)
        }
        output.flush()
    }

    mutating func print(from point: ReplayPoint) async throws {
        if point == .end { return try await printNewest(0) }
        let now = try await broker.serverTime()
        let from = point.lowerBound(now: now)
        if let before = from.predecessor { positions = positions.map { _ in before } }
        var entries = try await MergedEntries(topic, from: from, on: broker)
        while left > 0, let (partition, entry) = try await entries.next() { try print(entry, partition) }
        output.flush()
    }

    /// Waits for a server that goes away, and goes on behind what was printed.
    mutating func follow() async throws {
        let reader = broker.client.dedicated(clientName: "freshet-tail")
        defer { reader.close() }
        var isFailing = false
        while left > 0 {
            do {
                let arrived = try await broker.newEntries(
                    of: topic, after: &positions, waiting: .seconds(2), on: reader)
                for (partition, entry) in arrived where left > 0 { try print(entry, partition) }
                output.flush()
                isFailing = false
            } catch let error as FreshetError where error.isRetryable {
                if !isFailing { StandardError.write("freshet: \(error); trying again") }
                isFailing = true
                try await Task.sleep(for: .milliseconds(200))
            }
        }
    }

    mutating func finish() { output.finish() }

    private mutating func print(_ entry: StreamEntry, _ partition: Int) throws {
        positions[partition] = max(positions[partition], entry.id)
        left -= 1
        try output.add(EntryLine(entry, partition: partition))
    }
}
