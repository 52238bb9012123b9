internal import ArgumentParser
internal import Freshet
internal import FreshetTesting
internal import Workbench

/// `soak reclaim`
struct ReclaimCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "reclaim",
        abstract:
            "Consumers die behind a long row of events that are handled for hours; what they held is found all the same."
    )

    @Option(help: "What the faults are made from; nothing makes one up.")
    var seed: UInt64?

    @Option(help: "How many consumers are killed.")
    var kills = 25

    func run() async throws {
        let seed = seed ?? UInt64.random(in: 0 ... .max)
        print("soak reclaim --seed \(seed) --kills \(kills)")
        try await untilInterrupted { try await attack(seed) }
    }

    private static let consumers = 14
    private static let concurrency = 8
    /// So many events are handled for as long as the proof lasts: more than one look for silent consumers' entries can see,
    /// which is ten times as many as a consumer has room for.
    private static let slow = 106

    private func attack(_ seed: UInt64) async throws {
        let lease = Duration.seconds(2)
        try await Stage.with(partitions: 1) { stage in
            let consumers = Consumers(
                Consumers.Setting(
                    url: stage.server.url, folder: stage.server.folder, partitions: 1, lease: lease,
                    groups: ["free"],
                    failures: 0, longest: 100, concurrency: Self.concurrency))
            for number in 0..<Self.slow {
                try await Publisher(to: stage.topic, on: stage.broker).publish(
                    Event(
                        id: "slow\(number)", source: "soak", type: EventType(unchecked: Numbered.type),
                        data: EventData(Array(Numbered.slow.utf8))))
            }
            for _ in 0..<Self.consumers { try consumers.start() }
            try await waiting(for: "the slow ones to run") {
                try await stage.broker.groupReports(group: "free").first?.pending == Self.slow
            }
            let published = try await stage.work.publish(5000, keys: 100)
            var random = Seeded(seed)
            let progress = Progress()
            for number in 0..<kills {
                progress.show("killed \(number) of \(kills)")
                try await Task.sleep(for: .milliseconds(Int.random(in: 300...1500, using: &random)))
                await consumers.kill(Int(random.next() % UInt64(Self.consumers)))
                try consumers.start()
            }
            progress.clear()
            var left = -1
            let began = ContinuousClock.now
            while ContinuousClock.now < began + .seconds(60), left != 0 {
                try await Task.sleep(for: .milliseconds(200))
                let report = try await stage.broker.groupReports(group: "free").first
                left = (report?.pending ?? 0) + (report?.waiting ?? 0) - Self.slow
            }
            let took = ContinuousClock.now - began
            for _ in 0..<Self.consumers { await consumers.kill(0) }
            print("\(kills) killed; all but the slow ones settled \(took) after the last one")
            let findings = try Findings(journals: consumers.journals)
            var verdict = Verdict()
            verdict.check(
                "what the dead held is settled in time", left == 0 ? [] : ["\(left) events are left"])
            verdict.check("no event is lost", findings.lost("free", of: published, dead: []))
            verdict.check("no event is settled twice", findings.settledTwice("free", dead: []))
            verdict.demand("reclaims", findings.counters["free"]?["reclaimed"] ?? 0)
            guard verdict.holds else { throw ExitCode(1) }
        }
    }

    private func waiting(for what: String, _ isSo: () async throws -> Bool) async throws {
        for _ in 0..<300 {
            if try await isSo() { return }
            try await Task.sleep(for: .milliseconds(100))
        }
        throw SoakError("30 s were not enough for \(what)")
    }
}
