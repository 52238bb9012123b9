internal import ArgumentParser
internal import FoundationEssentials
internal import Freshet
internal import FreshetTesting
internal import Hiredis
internal import Workbench

/// `soak failover`
struct FailoverCommand: AsyncParsableCommand {
    enum Servers: String, ExpressibleByArgument, CaseIterable { case sentinel, cluster }

    static let configuration = CommandConfiguration(
        commandName: "failover",
        abstract:
            "Primaries are killed, cut off and frozen, slots move; the same consumers live on, and nothing is lost.",
        discussion:
            "Cutting a node off needs root and iptables; without them primaries are killed and frozen only.")

    @Option(help: "What the faults are made from; nothing makes one up.")
    var seed: UInt64?

    @Option(
        help:
            "A primary with two replicas and three sentinels, or a cluster of three primaries with a replica each."
    )
    var on = Servers.sentinel

    @Option(help: "How many faults.")
    var faults = 6

    @Option(help: "How many events.")
    var events = 20_000

    @Option(help: "How many keys they have.")
    var keys = 300

    func run() async throws {
        let seed = seed ?? UInt64.random(in: 0 ... .max)
        print("soak failover --on \(on.rawValue) --seed \(seed) --faults \(faults) --events \(events)")
        try await untilInterrupted {
            switch on {
            case .sentinel:
                try await withRedisSentinels { try await attack(seed, .init(sentinels: $0)) }
            case .cluster: try await withRedisCluster { try await attack(seed, .init(cluster: $0)) }
            }
        }
    }

    private func attack(_ seed: UInt64, _ nodes: FailoverNodes) async throws {
        let lease = Duration.seconds(3)
        let client = RedisClient(try RedisConfiguration(url: nodes.url))
        defer { client.close() }
        let work = NumberedTopic(client, partitions: 6)
        // What is published is there after any failover: it is not the publisher that is tried here.
        _ = try await work.broker.declare(
            TopicDeclaration(work.topic, durability: .replicated(1, within: .seconds(10))))
        var published = try await work.publish(events, keys: keys)
        let folder = "/tmp/freshet-failover-\(seed)"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let consumers = Consumers(
            Consumers.Setting(
                url: nodes.url, folder: folder, partitions: 6, lease: lease, groups: ["keyed", "free"],
                failures: 20, longest: 60))
        for _ in 0..<3 { try consumers.start() }
        var (random, counts) = (Seeded(seed), [String: Int]())
        let progress = Progress()
        for number in 0..<faults {
            progress.show("fault \(number + 1) of \(faults): \(counts)")
            try await Task.sleep(for: .milliseconds(Int.random(in: 500...3000, using: &random)))
            counts[try await nodes.strike(&random), default: 0] += 1
        }
        progress.clear()
        _ = try await work.settle(["keyed", "free"], within: .seconds(180))
        published.formUnion(try await work.publish(2 * keys, keys: keys, from: events))
        let began = ContinuousClock.now
        // Nothing may wait for longer than three leases with the same owners.
        let isSettled = try await work.settle(["keyed", "free"], within: lease * 3 + .seconds(1))
        let took = ContinuousClock.now - began
        let unasked = consumers.unasked
        await consumers.leaveAll()
        print("faults: \(counts); settled \(took) after the last events")
        var verdict = Verdict()
        verdict.check(
            "everything is settled in time",
            isSettled ? [] : try await work.broker.groupReports().map { "\($0)" })
        verdict.check("no consumer ended by itself", unasked)
        try await judge(work, consumers, published, &verdict)
        guard verdict.holds else { throw ExitCode(1) }
    }

    private func judge(
        _ work: NumberedTopic, _ consumers: Consumers, _ published: Set<String>, _ verdict: inout Verdict
    ) async throws {
        let findings = try Findings(journals: consumers.journals)
        verdict.check("no consumer gave up", findings.errors)
        for group in ["keyed", "free"] as [GroupName] {
            let dead = Set(try await work.dead(group))
            print(
                "group \(group): \(findings.runs[group.rawValue]?.count ?? 0) runs, \(dead.count) dead letters, counters \(findings.counters[group.rawValue] ?? [:])"
            )
            verdict.check("no event is lost", findings.lost(group.rawValue, of: published, dead: dead))
            verdict.demand("redeliveries", findings.redeliveries(group.rawValue))
        }
        verdict.check(
            "a key's events run in the order of the log",
            findings.outOfOrder("keyed", dead: Set(try await work.dead("keyed"))))
        verdict.demand("own entries taken up", findings.counters["keyed"]?["recovered"] ?? 0)
        // An old primary that is cut off serves its clients for a while: two owners, of which one's work is
        // lost.
        print("  handlers of one key that overlapped in a split brain: \(findings.overlaps("keyed").count)")
    }
}

/// The servers of the proof, and what happens to them.
private struct FailoverNodes: Sendable {
    private enum Kind: Sendable {
        case sentinels(LocalRedisSentinels)
        case cluster(LocalRedisCluster)
    }
    private let kind: Kind

    init(sentinels: LocalRedisSentinels) { kind = .sentinels(sentinels) }
    init(cluster: LocalRedisCluster) { kind = .cluster(cluster) }

    private var nodes: LocalRedisNodes {
        switch kind {
        case .sentinels(let nodes): nodes
        case .cluster(let nodes): nodes
        }
    }

    var url: String {
        switch kind {
        case .sentinels(let nodes): nodes.url
        case .cluster(let nodes): nodes.url
        }
    }

    private func primaries() async -> [Int] {
        switch kind {
        case .sentinels(let nodes): await nodes.primary().map { [$0] } ?? []
        case .cluster(let nodes): await nodes.currentPrimaries()
        }
    }

    /// Something happens to a primary, and everything is whole again afterwards; returns what it was.
    func strike(_ random: inout Seeded) async throws -> String {
        guard let primary = await primaries().randomElement(using: &random) else { return "no primary" }
        var kinds = ["kill", "freeze"]
        if await LocalRedisNodes.canCut() { kinds += ["cut off and kill", "cut off"] }
        if case .cluster = kind { kinds += ["move a slot", "hand over"] }
        let what = kinds[Int(random.next() % UInt64(kinds.count))]
        switch what {
        case "kill":
            await nodes.kill(primary)
            try await successor(of: primary)
            try nodes.restart(primary)
        case "freeze":
            nodes.pause(primary)
            try await successor(of: primary)
            nodes.resume(primary)
        case "cut off and kill":
            // Its replicas lag by what it has acknowledged since.
            try await nodes.cut(primary)
            try await Task.sleep(for: .milliseconds(Int.random(in: 200...1500, using: &random)))
            await nodes.kill(primary)
            try await nodes.heal()
            try await successor(of: primary)
            try nodes.restart(primary)
        case "cut off":
            try await nodes.cut(primary)
            try await successor(of: primary)
            try await nodes.heal()
        case "move a slot": try await moveSlot(&random)
        default:
            if case .cluster(let cluster) = kind, let replica = await cluster.replica(of: primary) {
                try await cluster.failOver(to: replica)
            }
        }
        try await becomeWhole()
        return what
    }

    private func successor(of primary: Int) async throws {
        let before = Set(await primaries())
        try await eventually("another primary", within: .seconds(60)) {
            switch kind {
            case .sentinels(let nodes):
                guard let now = await nodes.primary(), now != primary else { return false }
                let role = try? await nodes.send(RedisCommand("ROLE"), to: now)
                return role?.array?[0].string == "master"
            case .cluster:
                return await !primaries().filter { $0 != primary }.allSatisfy(before.contains)
            }
        }
    }

    private func moveSlot(_ random: inout Seeded) async throws {
        guard case .cluster(let cluster) = kind else { return }
        let key = Broker(cluster.client(of: 0), namespace: "soak")
            .keys("numbered", Int(random.next() % 6)).events
        let slot = HashSlot.of(key)
        guard let source = await cluster.primary(ofSlot: slot),
            let target = await primaries().filter({ $0 != source }).randomElement(using: &random)
        else { return }
        try await cluster.moveSlot(slot, from: source, to: target)
    }

    private func becomeWhole() async throws {
        switch kind {
        case .cluster(let cluster): try await cluster.awaitHealth()
        case .sentinels(let nodes):
            try await eventually("all follow the primary", within: .seconds(60)) {
                guard let primary = await nodes.primary() else { return false }
                for node in 0..<3 where node != primary {
                    guard nodes.isRunning(node) else { return false }
                    // It may be about to start, or to be told who the primary is.
                    let reply = try? await nodes.send(RedisCommand("INFO", "replication"), to: node)
                    guard let text = reply?.string else { return false }
                    guard text.contains("master_link_status:up") else { return false }
                }
                return true
            }
        }
    }
}
