internal import ArgumentParser
internal import FoundationEssentials
internal import Freshet
internal import FreshetTesting
internal import Glibc
internal import Hiredis
internal import Synchronization
internal import Workbench

/// `soak limits`
struct LimitsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "limits",
        abstract:
            "Goes past every limit: a hot key, hung handlers, storms of failures, a full topic; nothing stands still.",
        discussion: """
            Five groups read a topic whose publisher is refused at a limit and whose retention cuts off what all have settled: \
            'keyed' with production's limits, 'tight' with 20 deferred ids, 5 entries a page and 4 waiting events a key, 'batched', \
            'free', and 'ghost', which nobody reads until it is forgotten. Beside them groups are rewound and dead letters redriven.
            """)

    @Option(help: "What the faults are made from; nothing makes one up.")
    var seed: UInt64?

    @Option(help: "How many events, seven in ten of them of one key.")
    var events = 30_000

    private static let groups: [GroupName] = ["keyed", "tight", "batched", "free"]
    private static let lease = Duration.seconds(2)

    func run() async throws {
        let seed = seed ?? UInt64.random(in: 0 ... .max)
        print("soak limits --seed \(seed) --events \(events)")
        try await untilInterrupted { try await attack(seed) }
    }

    private func attack(_ seed: UInt64) async throws {
        try await Stage.with(partitions: 4) { stage in
            let groups =
                Self.groups.map { GroupDeclaration($0, ordering: $0 == "free" ? .any : .perKey) }
                + [GroupDeclaration("ghost")]
            _ = try await stage.broker.declare(
                TopicDeclaration(
                    stage.topic, groups: groups, retention: Retention(count: 500), limit: 3000))
            let consumers = Consumers(
                Consumers.Setting(
                    url: stage.server.url, folder: stage.server.folder, partitions: 4, lease: Self.lease,
                    groups: Self.groups.map(\.rawValue), failures: 10, longest: 1, limits: [20, 5, 4],
                    hang: 4000, storm: "\(stage.server.folder)/storm"))
            for _ in 0..<3 { try consumers.start() }
            var acts = Acts(seed: seed, stage: stage, groups: Self.groups)
            let publishing = Publishing(stage: stage, events: events)
            let began = ContinuousClock.now
            try await withThrowingTaskGroup(of: Void.self) { tasks in
                tasks.addTask { try await publishing.run() }
                let progress = Progress()
                while !publishing.isDone {
                    progress.show("\(publishing.count) of \(events) published; \(acts.summary)")
                    try await Task.sleep(for: .milliseconds(700))
                    try await acts.perform(publishing)
                    guard ContinuousClock.now - began < .seconds(900) else { break }
                }
                progress.clear()
                tasks.cancelAll()
                while let result = await tasks.nextResult() {
                    if case .failure(let error) = result, !(error is CancellationError) { throw error }
                }
            }
            try await acts.finish()
            let isSettled = try await stage.work.settle(Self.groups, within: .seconds(240))
            let (memory, unasked) = (consumers.mostMemory, consumers.unasked)
            await consumers.leaveAll()
            print(
                "\(acts.summary), refused \(publishing.refusals) times; settled \(ContinuousClock.now - began) after the start; at most \(memory) MiB a consumer"
            )
            var verdict = Verdict()
            verdict.check(
                "everything is published", publishing.count == events ? [] : ["\(publishing.count)"])
            verdict.check(
                "everything is settled in time",
                isSettled ? [] : try await stage.broker.groupReports().map { "\($0)" })
            verdict.check("no consumer ended by itself", unasked)
            verdict.check("a consumer needs less than 128 MiB", memory < 128 ? [] : ["\(memory) MiB"])
            try await judge(stage, consumers, publishing, acts, &verdict)
            guard verdict.holds else { throw ExitCode(1) }
        }
    }

    private func judge(
        _ stage: Stage, _ consumers: Consumers, _ publishing: Publishing, _ acts: Acts,
        _ verdict: inout Verdict
    ) async throws {
        let findings = try Findings(journals: consumers.journals)
        verdict.check("no consumer gave up", findings.errors)
        for group in Self.groups {
            let name = group.rawValue
            let dead = Set(try await stage.work.dead(group)).union(acts.redriven)
            print(
                "group \(name): \(findings.runs[name]?.count ?? 0) runs, \(findings.hung[name] ?? 0) hung, counters \(findings.counters[name] ?? [:])"
            )
            verdict.check("no event is lost", findings.lost(name, of: publishing.ids, dead: dead))
            if group != "free" {
                verdict.check("handlers of one key never overlap", findings.overlaps(name))
                verdict.check("and run in the order of the log", findings.outOfOrder(name, dead: dead))
            }
            verdict.demand("retries", findings.counters[name]?["scheduled"] ?? 0)
            verdict.demand("handlers that hung", findings.hung[name] ?? 0)
        }
        verdict.demand("searches for deferred events", findings.counters["all"]?["searches"] ?? 0)
        verdict.demand("refusals of a full topic", publishing.refusals)
        verdict.demand("rewinds", acts.rewinds)
        verdict.demand("redriven dead letters", acts.redrives)
        verdict.demand("storms", acts.storms)
        let left = try await stage.client.send(
            RedisCommand("XLEN", stage.broker.keys(stage.topic.name, 0).events))
        verdict.demand("entries that retention kept of partition 0", left.integer ?? 0)
    }
}

/// Publishes numbered events to a topic that refuses them when it is full, in the order of their numbers.
private final class Publishing: Sendable {
    private struct State {
        var ids: Set<String> = []
        var refusals = 0
    }
    private let stage: Stage
    private let events: Int
    private let state = Mutex(State())

    init(stage: Stage, events: Int) { (self.stage, self.events) = (stage, events) }

    var ids: Set<String> { state.withLock { $0.ids } }
    var count: Int { state.withLock { $0.ids.count } }
    var refusals: Int { state.withLock { $0.refusals } }
    var isDone: Bool { count == events }

    func run() async throws {
        let publisher = Publisher(to: stage.topic, on: stage.broker)
        var numbers: [String: Int] = [:]
        var (next, waiting) = (0, [Event]())
        while next < events || !waiting.isEmpty {
            while waiting.count < 500, next < events {
                let key = next % 10 < 7 ? "hot" : "k\(next % 47)"
                let number = numbers[key, default: 0]
                numbers[key] = number + 1
                waiting.append(
                    Event(
                        id: "\(key)-\(number)", source: "soak", type: EventType(unchecked: Numbered.type),
                        partitionKey: key, data: EventData(Array("\(number)".utf8))))
                next += 1
            }
            // What is refused of a partition is the end of its part: it goes first the next time.
            var refused: [Event] = []
            for (event, result) in zip(waiting, try await publisher.publish(waiting)) {
                switch result {
                case .success: state.withLock { _ = $0.ids.insert(event.id) }
                case .failure(let error):
                    guard error.code == .full else { throw error }
                    refused.append(event)
                }
            }
            waiting = refused
            if !refused.isEmpty {
                state.withLock { $0.refusals += 1 }
                try await Task.sleep(for: .milliseconds(50))
            }
        }
    }
}

/// What an operator does beside consumers, from a seed.
private struct Acts {
    private var random: Seeded
    private let stage: Stage
    private let groups: [GroupName]
    private(set) var rewinds = 0
    private(set) var redrives = 0
    private(set) var storms = 0
    private(set) var hasForgotten = false
    /// The events that were dead letters once: what followed them did not wait.
    private(set) var redriven: Set<String> = []

    init(seed: UInt64, stage: Stage, groups: [GroupName]) {
        random = Seeded(seed)
        (self.stage, self.groups) = (stage, groups)
    }

    var summary: String {
        "\(rewinds) rewinds, \(redrives) redriven, \(storms) storms\(hasForgotten ? ", the ghost is forgotten" : "")"
    }

    mutating func perform(_ publishing: Publishing) async throws {
        // A group that nobody reads holds back retention, until the topic is full.
        if !hasForgotten, publishing.refusals > 20 {
            try await stage.broker.forget("ghost", of: stage.topic)
            hasForgotten = true
        }
        switch random.next() % 6 {
        case 0: try await storm()
        case 1: try await redrive()
        case 2...3: try await rewind()
        default: break
        }
    }

    /// Ends what is under way: from here on nothing is done beside the consumers.
    mutating func finish() async throws {
        unsafe unlink("\(stage.server.folder)/storm")
        try await Task.sleep(for: .seconds(3))
        try await redrive()
    }

    private mutating func storm() async throws {
        storms += 1
        let path = "\(stage.server.folder)/storm"
        _ = FileManager.default.createFile(atPath: path, contents: nil)
        try await Task.sleep(for: .milliseconds(Int.random(in: 100...1000, using: &random)))
        unsafe unlink(path)
    }

    private mutating func redrive() async throws {
        for group in groups {
            redriven.formUnion(try await stage.work.dead(group))
            redrives += try await stage.broker.retryDeadLetters(.all, of: group, topic: stage.topic)
        }
    }

    /// As an operator does with redis-cli: entries that are pending are given out once more.
    private mutating func rewind() async throws {
        rewinds += 1
        let group = groups[Int(random.next() % UInt64(groups.count))]
        let log = stage.broker.keys(stage.topic.name, Int(random.next() % 4)).events
        let info = try await stage.client.send(.xinfoGroups(log)).first { $0.name == group.rawValue }
        guard let last = info?.lastDeliveredID else { return }
        let back = try await stage.client.send(
            .xrevrange(log, .zero...last, count: Int.random(in: 1...300, using: &random)))
        guard let target = back.last?.id else { return }
        _ = try await stage.client.send(
            RedisCommand("XGROUP", "SETID", log, group.rawValue, target))
    }
}
