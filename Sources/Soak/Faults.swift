internal import Freshet
internal import FreshetTesting
internal import Hiredis
internal import Workbench

/// Random faults, one after the other, from a seed.
struct Faults {
    private enum Kind: String, CaseIterable {
        case kill, freeze, cut, freezeServer = "freeze server", restartServer = "restart server", vanish
        case loss = "loss of the last writes"
    }

    private var random: Seeded
    private let stage: Stage
    private let consumers: Consumers
    private let cutter: ReplyCutter
    private let lease: Duration
    private let vanish: Bool
    private let lossy: Bool
    private var counts: [Kind: Int] = [:]

    /// - Parameters:
    ///   - vanish: groups are destroyed as well.
    ///   - lossy: no consumer is killed or frozen, and the server comes back from older snapshots.
    init(
        seed: UInt64, stage: Stage, consumers: Consumers, cutter: ReplyCutter, lease: Duration, vanish: Bool,
        lossy: Bool = false
    ) {
        random = Seeded(seed)
        (self.stage, self.consumers, self.cutter) = (stage, consumers, cutter)
        (self.lease, self.vanish, self.lossy) = (lease, vanish, lossy)
    }

    /// How often the server lost its last writes.
    var losses: Int { counts[.loss] ?? 0 }

    var summary: String {
        Kind.allCases.filter { counts[$0] != nil }.map { "\(counts[$0] ?? 0) x \($0.rawValue)" }.joined(
            separator: ", ")
    }

    mutating func run(for time: Duration) async throws {
        let progress = Progress()
        let end = ContinuousClock.now + time
        while ContinuousClock.now < end {
            progress.show("faults: \(summary); \((end - ContinuousClock.now).components.seconds) s left")
            try await Task.sleep(for: .milliseconds(Int.random(in: 200...1200, using: &random)))
            try await strike()
        }
        progress.clear()
    }

    private mutating func strike() async throws {
        var kinds: [Kind] = [
            .kill, .kill, .kill, .freeze, .freeze, .freeze, .cut, .cut, .cut, .freezeServer, .restartServer,
        ]
        if vanish { kinds += [.vanish, .vanish] }
        if lossy { kinds = [.loss, .loss, .loss, .cut, .freezeServer] }
        // Groups vanish first of all, while there is much that one made again at the newest entry would never see.
        let isFirst = vanish && counts.isEmpty
        let kind = isFirst ? .vanish : kinds[Int(random.next() % UInt64(kinds.count))]
        counts[kind, default: 0] += 1
        let index = Int(random.next() % 4)
        switch kind {
        case .kill:
            await consumers.kill(index)
            try consumers.start()
        case .freeze:
            try await consumers.freeze(index, for: lease * Int.random(in: 12...30, using: &random) / 10)
        case .cut: cutter.cut(after: Int.random(in: 0...4000, using: &random))
        case .freezeServer:
            stage.server.pause()
            defer { stage.server.resume() }
            try await Task.sleep(for: lease * Int.random(in: 3...20, using: &random) / 10)
        case .restartServer:
            await stage.server.kill()
            try await Task.sleep(for: .milliseconds(Int.random(in: 0...1500, using: &random)))
            try await stage.server.start()
        case .loss:
            try await stage.loseLastWrites(after: .milliseconds(Int.random(in: 20...1500, using: &random)))
        case .vanish:
            let log = stage.broker.keys(stage.topic.name, Int(random.next() % 8)).events
            _ = try? await stage.client.send(
                RedisCommand.xgroupDestroy(log, random.next() % 2 == 0 ? "keyed" : "free"))
        }
    }
}
