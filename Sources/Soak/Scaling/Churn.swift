internal import Freshet
internal import FreshetTesting
internal import Workbench

/// Workers of one group come, are drained and are killed at random under load.
struct Churn {
    private static let fewest = 2
    private static let most = 8

    let ordering: Ordering
    let seconds: Int
    let wait: Int
    let concurrency: Int
    let store: RecordsStore

    func run(_ seed: UInt64) async throws -> ScaleReport.Churn {
        try await store.with { database in
            try await Stage.with(partitions: ScaleSteps.partitions, survivesKills: false) { stage in
                let setting = WorkerSetting(
                    stage: stage, ordering: ordering, concurrency: concurrency, wait: wait...wait,
                    lease: .seconds(2), databaseURL: database(stage.server.folder))
                return try await run(seed, setting)
            }
        }
    }

    private func run(_ seed: UInt64, _ setting: WorkerSetting) async throws -> ScaleReport.Churn {
        let (workers, feeder) = (Consumers(setting), Feeder())
        var (random, churn) = (Seeded(seed), ScaleReport.Churn(ordering: ordering.rawValue))
        // When there were how many.
        var counts: [(at: Int, workers: Int)] = []
        let progress = Progress()
        for _ in 0..<4 { try workers.start() }
        var (began, ended) = (0, 0)
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await feeder.run(setting.stage, setting.group, level: 4000, keys: 1000) }
            try await eventually("all work", within: .seconds(60)) { workers.areAllReady }
            began = Journal.now()
            counts.append((began, workers.count))
            let end = ContinuousClock.now + .seconds(seconds)
            while ContinuousClock.now < end {
                progress.show(
                    "\(ordering.rawValue): \(workers.count) workers, \(churn.added) added, \(churn.drained) drained, \(churn.killed) killed"
                )
                try await Task.sleep(for: .milliseconds(Int.random(in: 200...1000, using: &random)))
                let index = Int(random.next() % UInt64(Self.most))
                switch random.next() % 7 {
                case 0...2 where workers.count < Self.most:
                    try workers.start()
                    churn.added += 1
                case 3...4 where workers.count > Self.fewest:
                    try await eventually("all work", within: .seconds(60)) { workers.areAllReady }
                    let leaving = await workers.leaving(index, within: setting.drainTimeout + .seconds(5))
                    churn.drained += 1
                    if leaving.ending != .exited(0) { churn.failedDrains += 1 }
                case 5...6 where workers.count > Self.fewest:
                    await workers.kill(index)
                    churn.killed += 1
                default: break
                }
                counts.append((Journal.now(), workers.count))
            }
            ended = Journal.now()
            progress.clear()
            await feeder.stop()
            try await tasks.waitForAll()
        }
        churn.isSettled = try await setting.stage.work.settle([setting.group], within: .seconds(120))
        churn.failedDrains += workers.unasked.count
        await workers.leaveAll()
        let findings = try Findings(journals: workers.journals)
        try await judge(&churn, findings, setting, await feeder.published)
        churn.seconds = Self.bySecond(findings.ends(setting.group.rawValue), counts, began..<ended)
        return churn
    }

    private func judge(
        _ churn: inout ScaleReport.Churn, _ findings: Findings, _ setting: WorkerSetting,
        _ published: Set<String>
    ) async throws {
        let group = setting.group.rawValue
        churn.events = published.count
        churn.repeated = findings.redeliveries(group)
        churn.lost = findings.lost(group, of: published, dead: []).count
        churn.doubled = findings.settledTwice(group, dead: []).count
        guard let url = setting.databaseURL else { return }
        let effects = try await RecordedEffects(of: published, in: url)
        churn.lost = max(churn.lost, effects.missing.count)
        churn.doubled = max(churn.doubled, effects.doubled.count)
    }

    private static func bySecond(
        _ ends: [Int], _ counts: [(at: Int, workers: Int)], _ range: Range<Int>
    ) -> [ScaleReport.Churn.Second] {
        let second = 1_000_000
        var events = Array(repeating: 0, count: range.count / second)
        for end in ends where range.contains(end) {
            let index = (end - range.lowerBound) / second
            if index < events.count { events[index] += 1 }
        }
        return events.enumerated().map { index, events in
            let workers = counts.last { $0.at <= range.lowerBound + index * second }?.workers
            return .init(workers: workers ?? 0, events: events)
        }
    }
}
