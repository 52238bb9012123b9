internal import ArgumentParser
internal import Freshet
internal import FreshetRecords
internal import FreshetService
internal import Glibc

/// `soak worker`: one worker as services have it, as the orchestrator starts it.
struct WorkerCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "worker", abstract: "One worker.", shouldDisplay: false)

    /// A row for each time that an event had its effect.
    static let effects = Migration(
        1, "effects", ["CREATE TABLE effects (event TEXT NOT NULL, consumer TEXT NOT NULL)"])

    @OptionGroup var options: WorkerOptions
    @Option var partitions: Int
    @Option var journal: String
    /// How long a handler waits at least and at most, in milliseconds.
    @Option var shortest = 0
    @Option var longest = 0
    @Flag(inversion: .prefixedNo) var effects = true

    func run() async throws {
        let handler = NumberedHandler(
            journal: try Journal(at: journal), wait: shortest * 1000...max(shortest, longest) * 1000,
            hasEffects: effects)
        let topic = Topic("numbered", partitions: partitions)
        try await Worker.run(
            options, defaults: WorkerDefaults(group: "free", namespace: "soak"), migrations: [Self.effects]
        ) { worker in
            handler.journal.write("B", "\(worker.settings.group)", "\(Journal.now())")
            return [handler.subscription(of: worker, to: topic)]
        }
    }
}

/// Handles numbered events, and writes down what it does.
private struct NumberedHandler: Sendable {
    let journal: Journal
    /// Microseconds.
    let wait: ClosedRange<Int>
    /// Whether it writes to the records.
    let hasEffects: Bool

    func subscription(of worker: Worker, to topic: Topic) -> Subscription {
        let settings = worker.settings
        var options = settings.subscription
        journal.follow(&options, of: settings.group)
        if options.ordering == .perKey { options.fence = worker.records }
        return Subscription(
            to: topic, group: settings.group, on: worker.broker, consumer: settings.consumer,
            options: options, logger: worker.logger
        ) {
            On(EventType(unchecked: Numbered.type)) { delivery in
                let (group, event) = ("\(settings.group)", delivery.event)
                let (key, data) = (event.partitionKey ?? "-", event.data.string)
                journal.write("S", group, event.id, key, data, "\(Journal.now())")
                try await wait(as: data)
                if hasEffects {
                    try await worker.records.handle(delivery) { effects in
                        try effects.execute(
                            "INSERT INTO effects VALUES ($1, $2)", .text(event.id),
                            .text(settings.consumer.rawValue))
                    }
                }
                journal.write("E", group, event.id, key, data, "\(Journal.now())")
            }
        }
    }

    private func wait(as data: String) async throws {
        switch data {
        case Numbered.slow: try await Task.sleep(for: .seconds(36_000))
        case Numbered.stuck: await withCheckedContinuation { (_: CheckedContinuation<Void, Never>) in }
        case Numbered.blocking: while true { sleep(3600) }
        default:
            if wait.upperBound > 0 {
                try await Task.sleep(for: .microseconds(Int.random(in: wait)))
            }
        }
    }
}
