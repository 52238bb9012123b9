internal import ArgumentParser
internal import Freshet
internal import FreshetTesting
internal import Workbench

/// `soak drain`
struct DrainCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "drain",
        abstract: "Asks workers to stop (SIGTERM) under load; what they have not begun is a peer's at once.",
        discussion: """
            Three workers under more load than they can handle; one after the other, at random moments, is asked to stop, and \
            another one comes. Each must end in time with exit code 0, nothing that was begun may be delivered again, and what was not \
            begun must be with a peer within the limit.
            """)

    @Option(help: "What the moments are made from; nothing makes one up.")
    var seed: UInt64?

    @Option(help: "How many workers are asked to stop, for each ordering.")
    var drains = 50

    @Option(help: "Where the records are: sqlite or postgres.")
    var store = RecordsStore.sqlite

    @Option(help: "any or perKey; nothing is both.")
    var ordering: String?

    @Option(help: "Milliseconds within which a peer has what was not begun.")
    var within = 100

    func validate() throws {
        guard ordering.map({ Ordering(rawValue: $0) != nil }) ?? true else {
            throw ValidationError("'\(ordering ?? "")' is not any or perKey")
        }
    }

    func run() async throws {
        let seed = seed ?? UInt64.random(in: 0 ... .max)
        print("soak drain --seed \(seed) --drains \(drains) --store \(store.rawValue) --within \(within)")
        let orderings = ordering.flatMap { Ordering(rawValue: $0) }.map { [$0] } ?? [.any, .perKey]
        try await untilInterrupted {
            var holds = true
            for ordering in orderings {
                print("ordering \(ordering.rawValue)")
                let kept = try await store.with { database in
                    try await Stage.with(partitions: 8, survivesKills: false) { stage in
                        try await attack(seed, stage, ordering, database(stage.server.folder))
                    }
                }
                holds = kept && holds
            }
            guard holds else { throw ExitCode(1) }
        }
    }

    private func attack(_ seed: UInt64, _ stage: Stage, _ ordering: Ordering, _ database: String) async throws
        -> Bool
    {
        let setting = WorkerSetting(
            stage: stage, ordering: ordering, concurrency: 8, wait: 0...20, databaseURL: database)
        let workers = Consumers(setting)
        let (feeder, stalls) = (Feeder(), Stalls())
        let watch = Task { await stalls.watch() }
        defer { watch.cancel() }
        var (random, leavings) = (Seeded(seed), [Consumers.Leaving]())
        for _ in 0..<3 { try workers.start() }
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await feeder.run(stage, setting.group, level: 1000, keys: 200) }
            let progress = Progress()
            while true {
                progress.show("\(leavings.count) of \(drains) have left")
                try await eventually("all work", within: .seconds(60)) { workers.areAllReady }
                // A busy machine can leave so little waiting that none has anything to hand over: then more leave.
                let isEnough =
                    try leavings.count >= 4 * drains
                    || leavings.count >= drains && !handOvers(workers, leavings, setting).isEmpty
                if isEnough { break }
                try await Task.sleep(for: .milliseconds(Int.random(in: 100...400, using: &random)))
                let index = Int(random.next() % 3)
                try workers.start()
                leavings.append(await workers.leaving(index, within: setting.drainTimeout + .seconds(5)))
            }
            progress.clear()
            await feeder.stop()
            try await tasks.waitForAll()
        }
        let isSettled = try await stage.work.settle([setting.group], within: .seconds(120))
        let unasked = workers.unasked
        await workers.leaveAll()
        return try await judge(
            Findings(journals: workers.journals), leavings, setting, await feeder.published, isSettled,
            unasked, longestStall: await stalls.longest)
    }

    private func handOvers(_ workers: Consumers, _ leavings: [Consumers.Leaving], _ setting: WorkerSetting)
        throws -> [HandOver]
    {
        try Findings(journals: workers.journals)
            .handOvers(after: leavings, setting.group.rawValue, setting.stage.topic)
    }

    private func judge(
        _ findings: Findings, _ leavings: [Consumers.Leaving], _ setting: WorkerSetting,
        _ published: Set<String>, _ isSettled: Bool, _ unasked: [String], longestStall: Duration
    ) async throws -> Bool {
        let group = setting.group.rawValue
        let handOvers = findings.handOvers(after: leavings, group, setting.stage.topic)
        let took = leavings.map { Int($0.took.inSeconds * 1_000_000) }
        print("  \(published.count) events, \(leavings.count) workers asked to stop")
        print("  from SIGTERM to the exit                       \(Spread(took))")
        print("  from SIGTERM to a peer's having it             \(Spread(handOvers.map(\.fromRequest)))")
        print("  from being handed back to a peer's having it   \(Spread(handOvers.map(\.fromHandingBack)))")
        print("  meanwhile this process stood still for at most \(Int(longestStall.inSeconds * 1000)) ms")
        var verdict = Verdict()
        verdict.check("everything is settled", isSettled ? [] : ["\(published.count) events"])
        verdict.check("nobody ended unasked", unasked)
        verdict.check(
            "all exit 0", leavings.filter { $0.ending != .exited(0) }.map { "c\($0.number): \($0.ending)" })
        verdict.check(
            "within the drain timeout",
            leavings.filter { $0.took > setting.drainTimeout }.map { "c\($0.number): \($0.took)" })
        let again = findings.handledAgain(group)
        verdict.check("nothing that was begun is delivered again", again)
        verdict.check("no event is settled twice", findings.settledTwice(group, dead: []))
        verdict.check(
            "what was not begun is a peer's within \(within) ms",
            handOvers.filter { $0.fromHandingBack > within * 1000 }.map(\.description))
        if setting.ordering == .perKey {
            verdict.check("handlers of one key never overlap", findings.overlaps(group))
            verdict.check("and run in the order of the log", findings.outOfOrder(group, dead: []))
        }
        if let url = setting.databaseURL {
            let effects = try await RecordedEffects(of: published, in: url)
            verdict.check("no event is without effect", effects.missing)
            verdict.check("none has it twice", effects.doubled)
        }
        verdict.demand(
            setting.ordering == .perKey ? "partitions that were handed over" : "events that were handed back",
            handOvers.count)
        return verdict.holds
    }
}
