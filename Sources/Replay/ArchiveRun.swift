internal import Freshet
internal import FreshetReplay
internal import FreshetService
internal import Hiredis

/// The topics' archivers, pass after pass. A topic that cannot be archived holds up no other.
struct ArchiveRun {
    private let command: ArchiveCommand
    private let broker: Broker
    private var archivers: [TopicName: Archiver] = [:]
    private var rows: RowOutput<ArchiveReport>
    private var hasRows = false
    private var progress = ArchiveProgress("archived")
    private var missing = 0
    /// What was said of each partition when it was last looked at.
    private var said: [String: [String]] = [:]
    /// Why topics are not archived at the moment.
    private var failures: [TopicName: ToolError] = [:]
    private let metrics = ArchiveMetrics()

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
                try await pass(isFirst: isFirst)
                isFirst = false
            } catch  where command.follow && isPassing(error) {
                StandardError.write("replay: \(ToolError(error)); looking again in \(command.every)")
            }
            if command.follow { try await wait() }
        } while command.follow && !Interruption.isRequested
        progress.end()
        if hasRows || failures.isEmpty { rows.finish() }
        if let failure = gravestFailure() { throw failure }
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

    func close() async { for archiver in archivers.values { await archiver.close() } }

    // MARK: - A pass

    private mutating func pass(isFirst: Bool) async throws {
        let topics = try await topics(isFirst: isFirst)
        for topic in topics {
            do {
                try await archive(topic, showsAll: isFirst && !command.follow)
                metrics.isFailing(false, topic.name)
                if failures.removeValue(forKey: topic.name) != nil {
                    StandardError.write("replay: '\(topic.name)' is archived again")
                }
            } catch let error as ArchiveError {
                await fail(topic.name, ToolError(error))
            }
            if Interruption.isRequested { return }
        }
        metrics.passed()
    }

    private mutating func archive(_ topic: Topic, showsAll: Bool) async throws {
        let archiver = try await archiver(of: topic)
        progress = ArchiveProgress("archived")
        let reports = try await archiver.pass { count in
            progress.show(count, of: topic.name.rawValue)
            return !Interruption.isRequested
        }
        for report in reports {
            metrics.archived(report)
            let place = "\(report.topic):\(report.partition)"
            for note in report.notes where said[place]?.contains(note) != true {
                StandardError.write("replay: \(OneLine.escaped(note))")
            }
            said[place] = report.notes
            if report.missing > 0 {
                missing += report.missing
                StandardError.write(
                    "replay: GAP: \(report.missing) events of '\(report.topic)' partition \(report.partition) were gone from "
                        + "the log before they could be archived; the archive says so")
            }
            if showsAll || report.archived > 0 || report.missing > 0 {
                try rows.add(report)
                hasRows = true
            }
        }
        if command.follow { rows.flush() }
    }

    private mutating func topics(isFirst: Bool) async throws -> [Topic] {
        if command.all { return try await broker.topics() }
        var topics: [Topic] = []
        for name in command.topic where !topics.contains(where: { $0.name == name }) {
            if let topic = try await broker.topic(named: name) {
                topics.append(topic)
            } else if isFirst {
                topics.append(try await broker.existingTopic(name))
            } else {
                // It was there: the server was emptied, and a restoration may bring it back.
                await fail(name, ToolError(.failed, "the topic '\(name)' is gone: restore it first"))
            }
        }
        return topics
    }

    private mutating func archiver(of topic: Topic) async throws -> Archiver {
        if let known = archivers[topic.name] {
            if known.topic.partitions >= topic.partitions { return known }
            await drop(topic.name)
        }
        var options = ArchiverOptions()
        options.segmentEvents = command.segmentEvents
        options.segmentBytes = command.segmentBytes
        options.level = command.level
        options.takesOver = command.takeOver
        let archiver = try await Archiver.open(topic, on: broker, to: command.to, options: options)
        archivers[topic.name] = archiver
        return archiver
    }

    // MARK: - Failures

    /// The next look begins with what the folder says then: another archiver may have been at work, or a restoration.
    private mutating func drop(_ name: TopicName) async {
        guard let archiver = archivers.removeValue(forKey: name) else { return }
        await archiver.close()
    }

    private mutating func fail(_ name: TopicName, _ error: ToolError) async {
        await drop(name)
        metrics.isFailing(true, name)
        let before = failures.updateValue(error, forKey: name)
        guard command.follow, before?.description != error.description else { return }
        StandardError.write(
            "replay: \(OneLine.escaped(error.description)); trying again every \(command.every)")
    }

    /// The one that decides about the exit code; says the others.
    private func gravestFailure() -> ToolError? {
        let order: [ExitStatus] = [.badData, .failed]
        let sorted = failures.sorted { $0.key < $1.key }.map(\.value)
        let gravest =
            order.lazy.compactMap { status in sorted.firstIndex { $0.status == status } }.first
            ?? sorted.indices.first
        guard let gravest else { return nil }
        for (index, failure) in sorted.enumerated() where index != gravest && !command.follow {
            StandardError.write("replay: \(OneLine.escaped(failure.description))")
        }
        return sorted[gravest]
    }

    /// A server that is away for a while.
    private func isPassing(_ error: any Error) -> Bool {
        switch error {
        case let error as FreshetError: error.isRetryable
        case let error as RedisError: error.isRetryable
        default: false
        }
    }

    private mutating func wait() async throws {
        let end = ContinuousClock.now + command.every
        while ContinuousClock.now < end, !Interruption.isRequested {
            try await Task.sleep(for: min(.milliseconds(100), end - .now))
            for (name, archiver) in archivers {
                do {
                    try await archiver.keep()
                } catch let error as ArchiveError {
                    await fail(name, ToolError(error))
                } catch  where isPassing(error) {
                    // The next pass says so.
                }
            }
        }
    }
}
