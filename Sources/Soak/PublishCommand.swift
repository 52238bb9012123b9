internal import ArgumentParser
internal import Freshet
internal import FreshetTesting
internal import Hiredis
internal import Workbench

/// `soak publish`
struct PublishCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "publish",
        abstract:
            "Cuts publishers' connections in the middle of replies; each event stands in its log once, in order."
    )

    @Option(help: "What the faults are made from; nothing makes one up.")
    var seed: UInt64?

    @Option(help: "How many events.")
    var events = 50_000

    @Option(help: "How many keys they have.")
    var keys = 100

    @Option(help: "How many publishers there are, each with its own connection and keys.")
    var publishers = 4

    private static let batch = 50

    func run() async throws {
        let seed = seed ?? UInt64.random(in: 0 ... .max)
        print("soak publish --seed \(seed) --events \(events) --keys \(keys) --publishers \(publishers)")
        try await untilInterrupted {
            try await Stage.with(partitions: 4) { try await attack(seed, $0) }
        }
    }

    private func attack(_ seed: UInt64, _ stage: Stage) async throws {
        let cutter = try ReplyCutter(at: "\(stage.server.folder)/cutter.sock", to: stage.server.socketPath)
        let errors = Record<String>()
        let cuts = try await withThrowingTaskGroup(of: Void.self) { tasks in
            let done = Record<Int>()
            for number in 0..<publishers {
                tasks.addTask {
                    do { try await publish(number, through: cutter.path, stage.topic) } catch {
                        errors.add("\(error)")
                    }
                    done.add(number)
                }
            }
            var (random, cuts) = (Seeded(seed), 0)
            while done.count < publishers {
                try await Task.sleep(for: .milliseconds(Int.random(in: 5...100, using: &random)))
                cutter.cut(after: Int.random(in: 0...30_000, using: &random))
                cuts += 1
            }
            try await tasks.waitForAll()
            return cuts
        }
        let (twice, missing, disorder) = try await read(stage)
        var verdict = Verdict()
        verdict.check("no publisher gave up", errors.all)
        verdict.check("no event stands in its log twice", twice)
        verdict.check("no event is missing", missing)
        verdict.check("the events of a key stand in their order", disorder)
        verdict.demand("cuts", cuts)
        guard verdict.holds else { throw ExitCode(1) }
    }

    /// Publishes every key that is this publisher's, each with its numbers in order.
    private func publish(_ publisher: Int, through path: String, _ topic: Topic) async throws {
        let client = RedisClient(try RedisConfiguration(url: "unix://\(path)"))
        defer { client.close() }
        var options = PublisherOptions()
        options.patience = .seconds(60)
        let target = Publisher(to: topic, on: Broker(client, namespace: "soak"), options: options)
        let own = (0..<events).filter { $0 % keys % publishers == publisher }
        for start in stride(from: 0, to: own.count, by: Self.batch) {
            let batch = own[start..<min(start + Self.batch, own.count)].map { number in
                Event(
                    id: "e\(number)", source: "soak", type: EventType(unchecked: Numbered.type),
                    partitionKey: "k\(number % keys)", data: EventData(Array("\(number / keys)".utf8)))
            }
            while true {
                do throws(FreshetError) {
                    for result in try await target.publish(batch) { _ = try result.get() }
                    break
                } catch {
                    // Nothing was sent.
                    guard error.isRetryable, !error.mayHaveRun else { throw error }
                    try await Task.sleep(for: .milliseconds(10))
                }
            }
        }
    }

    private func read(_ stage: Stage) async throws -> (twice: [String], missing: [String], disorder: [String])
    {
        var (seen, last, twice, disorder) = (Set<String>(), [String: Int](), [String](), [String]())
        for try await entry in stage.broker.history(of: stage.topic) {
            let event = try entry.event()
            if !seen.insert(event.id).inserted { twice.append(event.id) }
            let (key, number) = (event.partitionKey ?? "", Int(event.data.string) ?? -1)
            if number < last[key] ?? -1 { disorder.append(event.id) }
            last[key] = number
        }
        return (twice, (0..<events).map { "e\($0)" }.filter { !seen.contains($0) }, disorder)
    }
}
