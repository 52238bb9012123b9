internal import ArgumentParser
internal import Freshet
internal import FreshetTesting
internal import Hiredis
internal import Workbench

/// `soak rebalance`
struct RebalanceCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rebalance",
        abstract: "Consumers come and go at random; each partition has one owner, and soon.")

    @Option(help: "What the comings and goings are made from; nothing makes one up.")
    var seed: UInt64?

    @Option(help: "Seconds of comings and goings.")
    var seconds = 60

    func run() async throws {
        let seed = seed ?? UInt64.random(in: 0 ... .max)
        print("soak rebalance --seed \(seed) --seconds \(seconds)")
        try await untilInterrupted { try await attack(seed) }
    }

    private func attack(_ seed: UInt64) async throws {
        let lease = Duration.seconds(2)
        try await Stage.with(partitions: 8) { stage in
            let consumers = Consumers(
                Consumers.Setting(
                    url: stage.server.url, folder: stage.server.folder, partitions: 8, lease: lease,
                    groups: ["keyed"],
                    failures: 10, longest: 20))
            for _ in 0..<5 { try consumers.start() }
            let watch = Task { try await ownerless(stage, consumers) }
            var (random, published, joins, leaves, kills) = (Seeded(seed), Set<String>(), 0, 0, 0)
            let progress = Progress()
            let end = ContinuousClock.now + .seconds(seconds)
            while ContinuousClock.now < end {
                progress.show(
                    "\(consumers.count) consumers, \(joins) joined, \(leaves) left, \(kills) killed")
                published.formUnion(try await stage.work.publish(400, keys: 200, from: published.count))
                try await Task.sleep(for: .milliseconds(Int.random(in: 100...900, using: &random)))
                let index = Int(random.next() % 10)
                switch random.next() % 5 {
                case 0...1 where consumers.count < 10:
                    try consumers.start()
                    joins += 1
                case 2...3 where consumers.count > 2:
                    await consumers.leave(index)
                    leaves += 1
                case 4 where consumers.count > 2:
                    await consumers.kill(index)
                    kills += 1
                default: break
                }
            }
            progress.clear()
            watch.cancel()
            let longest = try await watch.value
            let isSettled = try await stage.work.settle(["keyed"], within: .seconds(60))
            await consumers.leaveAll()
            print(
                "\(joins) joined, \(leaves) left, \(kills) were killed; longest without a living owner: \(longest)"
            )
            var verdict = Verdict()
            let findings = try Findings(journals: consumers.journals)
            let dead = try await stage.work.dead("keyed")
            verdict.check("everything is settled in time", isSettled ? [] : ["\(published.count) events"])
            verdict.check("no consumer gave up", findings.errors)
            verdict.check(
                "no partition is without owner for two leases", longest < lease * 2 ? [] : ["\(longest)"])
            verdict.check("no partition has two committing owners", findings.twoOwners(stage.topic))
            verdict.check("no event is lost", findings.lost("keyed", of: published, dead: Set(dead)))
            verdict.check("no event is settled twice", findings.settledTwice("keyed", dead: dead))
            verdict.check("handlers of one key never overlap", findings.overlaps("keyed"))
            verdict.check("and run in the order of the log", findings.outOfOrder("keyed", dead: Set(dead)))
            verdict.demand("changes of owner", findings.tenures["keyed"]?.count ?? 0)
            guard verdict.holds else { throw ExitCode(1) }
        }
    }

    /// The longest that a partition had no owner that lives, asked for many times a second.
    private func ownerless(_ stage: Stage, _ consumers: Consumers) async throws -> Duration {
        var since: [Int: ContinuousClock.Instant] = [:]
        var longest = Duration.zero
        var isFirst = Set(0..<stage.topic.partitions)
        while !Task.isCancelled {
            let now = ContinuousClock.now
            let living = Set(consumers.names)
            for partition in 0..<stage.topic.partitions {
                let key = stage.broker.keys(stage.topic.name, partition).lease("keyed")
                guard let reply = try? await stage.client.send(RedisCommand("HGET", key, "owner")) else {
                    continue
                }
                if let owner = reply.string, living.contains(owner) {
                    since[partition] = nil
                    isFirst.remove(partition)
                } else if !isFirst.contains(partition) {
                    since[partition] = since[partition] ?? now
                    longest = max(longest, now - (since[partition] ?? now))
                }
            }
            try? await Task.sleep(for: .milliseconds(20))
        }
        return longest
    }
}

extension Findings {
    /// Settled runs that began under an owner after a later owner had taken the partition.
    func twoOwners(_ topic: Topic) -> [String] {
        let tenures = Dictionary(grouping: tenures["keyed"] ?? [], by: \.partition)
        var found: [String] = []
        for run in runs["keyed"] ?? [] where run.settled != nil {
            let all = tenures[topic.partition(ofKey: run.key)] ?? []
            // The tenure under which it ran: its process's last one that began before.
            guard
                let own = all.filter({ $0.process == run.process && $0.began <= run.began }).max(by: {
                    $0.began < $1.began
                })
            else {
                found.append("\(run.id) ran in process \(run.process), which did not own the partition")
                continue
            }
            if let later = all.first(where: { $0.epoch > own.epoch && $0.began <= run.began }) {
                found.append("\(run.id) in process \(run.process), and process \(later.process) owned it")
            }
        }
        return found
    }
}
