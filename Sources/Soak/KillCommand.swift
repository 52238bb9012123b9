internal import ArgumentParser
internal import FoundationEssentials
internal import Freshet
internal import FreshetTesting
internal import Glibc
internal import Workbench

/// `soak kill`
struct KillCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "kill", abstract: "Kills, freezes and cuts at random; nothing is lost or settled twice.")

    @Option(help: "What the faults are made from; nothing makes one up.")
    var seed: UInt64?

    @Option(help: "Seconds of faults.")
    var seconds = 60

    @Option(help: "How many events.")
    var events = 50_000

    @Option(help: "How many keys they have.")
    var keys = 500

    @Option(help: "The longest that a handler takes, in milliseconds.")
    var longest = 500

    @Flag(help: "Groups vanish as well: events come again then, and only that none is lost is checked.")
    var vanish = false

    @Flag(help: "The server comes back from older snapshots, while the same consumers live on.")
    var lossy = false

    @Option(
        help: "Bounds of what keeping an order remembers: deferred ids, entries a page, waiting events a key."
    )
    var limits: [Int] = []

    func run() async throws {
        let seed = seed ?? UInt64.random(in: 0 ... .max)
        print(
            "soak kill --seed \(seed) --seconds \(seconds) --events \(events) --keys \(keys)\(vanish ? " --vanish" : "")\(lossy ? " --lossy" : "")"
        )
        try await untilInterrupted { try await attack(seed) }
    }

    private func attack(_ seed: UInt64) async throws {
        let lease = Duration.seconds(2)
        try await Stage.with(partitions: 8, losesWrites: lossy) { stage in
            let cutter = try ReplyCutter(
                at: "\(stage.server.folder)/cutter.sock", to: stage.server.socketPath)
            let consumers = Consumers(
                Consumers.Setting(
                    url: "unix://\(cutter.path)", folder: stage.server.folder, partitions: 8, lease: lease,
                    groups: ["keyed", "free"], failures: 30, longest: longest, limits: limits))
            var published = try await stage.work.publish(events, keys: keys)
            for _ in 0..<4 { try consumers.start() }
            var faults = Faults(
                seed: seed, stage: stage, consumers: consumers, cutter: cutter, lease: lease, vanish: vanish,
                lossy: lossy)
            try await faults.run(for: .seconds(seconds))
            if lossy {
                // What is left of the work is not the question, and then the keys go on.
                _ = try await stage.work.settle(["keyed", "free"], within: .seconds(120))
                published.formUnion(try await stage.work.publish(2 * keys, keys: keys, from: events))
            }
            let began = ContinuousClock.now
            // In a quiet phase with the same owners nothing may wait for longer than three leases.
            let limit = lossy ? lease * 3 + .milliseconds(2 * longest) : .seconds(180)
            let isSettled = try await stage.work.settle(["keyed", "free"], within: limit)
            let took = ContinuousClock.now - began
            let unasked = consumers.unasked
            await consumers.leaveAll()
            print("faults: \(faults.summary); settled \(took) after the last one")
            var verdict = Verdict()
            verdict.check("no consumer ended by itself", unasked)
            if lossy { verdict.demand("losses of the last writes", faults.losses) }
            try await judge(stage, consumers, published, isSettled, &verdict)
        }
    }

    private func judge(
        _ stage: Stage, _ consumers: Consumers, _ published: Set<String>, _ isSettled: Bool,
        _ verdict: inout Verdict
    ) async throws {
        let findings = try Findings(journals: consumers.journals)
        verdict.check(
            "everything is settled in time",
            isSettled ? [] : try await stage.broker.groupReports().map { "\($0)" })
        verdict.check("no consumer gave up", findings.errors)
        for group in ["keyed", "free"] as [GroupName] {
            let name = group.rawValue
            let dead = try await stage.work.dead(group)
            print(
                "group \(name): \(findings.runs[name]?.count ?? 0) runs, \(dead.count) dead letters, counters \(findings.counters[name] ?? [:])"
            )
            verdict.check("no event is lost", findings.lost(name, of: published, dead: Set(dead)))
            if vanish { continue }
            if !lossy {
                verdict.check("no event is settled twice", findings.settledTwice(name, dead: dead))
            }
            if group == "keyed" {
                verdict.check("handlers of one key never overlap", findings.overlaps(name))
                verdict.check("and run in the order of the log", findings.outOfOrder(name, dead: Set(dead)))
            }
            verdict.demand("redeliveries", findings.redeliveries(name))
            if lossy {
                if group == "keyed" {
                    verdict.demand("own entries taken up", findings.counters[name]?["recovered"] ?? 0)
                }
                continue
            }
            verdict.demand("reclaims", findings.counters[name]?["reclaimed"] ?? 0)
            verdict.demand("fenced settlements", findings.counters[name]?["fenced"] ?? 0)
        }
        guard verdict.holds else {
            let kept = "/tmp/soak-\(getpid())"
            try? FileManager.default.createDirectory(atPath: kept, withIntermediateDirectories: true)
            for journal in consumers.journals {
                try? FileManager.default.copyItem(
                    atPath: journal, toPath: "\(kept)/\(journal.split(separator: "/").last ?? "journal")")
            }
            print("the journals are in \(kept)")
            throw ExitCode(1)
        }
    }
}
