internal import Freshet
internal import FreshetTesting
internal import Workbench

/// One group that grows: its rate with each number of workers.
struct ScaleSteps {
    static let partitions = 16

    let ordering: Ordering
    let counts: [Int]
    let seconds: Int
    let wait: Int
    let concurrency: Int

    func measure() async throws -> [ScaleReport.Step] {
        try await Stage.with(partitions: Self.partitions, survivesKills: false) { stage in
            let setting = WorkerSetting(
                stage: stage, ordering: ordering, concurrency: concurrency, wait: wait...wait,
                databaseURL: nil)
            let (workers, feeder) = (Consumers(setting), Feeder())
            var windows: [(workers: Int, range: Range<Int>)] = []
            let progress = Progress()
            try await withThrowingTaskGroup(of: Void.self) { tasks in
                tasks.addTask { try await feeder.run(stage, setting.group, level: 4000, keys: 100_000) }
                for count in counts {
                    progress.show("\(ordering.rawValue): \(count) workers")
                    while workers.count < count { try workers.start() }
                    try await eventually("all work", within: .seconds(60)) { workers.areAllReady }
                    // They share the partitions out among themselves.
                    try await Task.sleep(for: .seconds(2))
                    let began = Journal.now()
                    try await Task.sleep(for: .seconds(seconds))
                    windows.append((count, began..<Journal.now()))
                }
                progress.clear()
                await feeder.stop()
                try await tasks.waitForAll()
            }
            await workers.leaveAll()
            let ends = try Findings(journals: workers.journals).ends(setting.group.rawValue)
            let rates = windows.map { window in
                Double(ends.count { window.range.contains($0) }) / Double(window.range.count) * 1_000_000
            }
            return zip(windows, rates).map { window, rate in
                ScaleReport.Step(
                    ordering: ordering.rawValue, workers: window.workers, eventsPerSecond: Int(rate),
                    ratio: rate / max(1, rates[0]))
            }
        }
    }
}

extension Findings {
    /// When handlers ended, as in journals.
    func ends(_ group: String) -> [Int] { (runs[group] ?? []).compactMap(\.ended) }
}
