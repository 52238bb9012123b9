internal import FoundationEssentials
internal import FreshetTesting
internal import Glibc
internal import Workbench

/// Random faults of the shop's workers and servers, one after the other, from a seed.
struct ShopFaults {
    private enum Kind: String, CaseIterable {
        case kill = "kill a worker", freeze = "freeze a worker", restartRedis = "kill Redis"
        case restartDatabase = "stop PostgreSQL", crashDatabase = "crash PostgreSQL"
    }

    private var random: Seeded
    private let shop: ShopUnderAttack
    private let up: ChildProcess
    private let server: LocalRedisServer
    private let database: LocalPostgres?
    private var counts: [Kind: Int] = [:]
    /// Since when a worker is frozen: by a fault, or by a drill.
    private var frozen: [Int32: ContinuousClock.Instant] = [:]

    init(
        seed: UInt64, shop: ShopUnderAttack, up: ChildProcess, server: LocalRedisServer,
        database: LocalPostgres?
    ) {
        random = Seeded(seed)
        (self.shop, self.up, self.server, self.database) = (shop, up, server, database)
    }

    var summary: String {
        Kind.allCases.filter { counts[$0] != nil }.map { "\(counts[$0] ?? 0) x \($0.rawValue)" }.joined(
            separator: ", ")
    }

    /// Until the child has ended; how it did.
    mutating func run(while child: ChildProcess) async throws -> ChildProcess.Ending {
        let progress = Progress()
        var next = ContinuousClock.now
        while child.ending == nil {
            progress.show("faults: \(summary)")
            try await Task.sleep(for: .milliseconds(50))
            wake()
            guard next < .now else { continue }
            try await strike()
            next = .now + .milliseconds(Int.random(in: 300...2500, using: &random))
        }
        progress.clear()
        return await child.wait()
    }

    /// Wakes whoever freezes, until the child has ended.
    mutating func wake(until child: ChildProcess) async -> ChildProcess.Ending {
        while child.ending == nil {
            wake()
            try? await Task.sleep(for: .milliseconds(50))
        }
        return await child.wait()
    }

    /// Wakes those who have been frozen for longer than a lease.
    private mutating func wake() {
        let now = ContinuousClock.now
        let stopped = Set(workers.filter(\.isStopped).map(\.id))
        frozen = frozen.filter { stopped.contains($0.key) }
        for id in stopped {
            guard let since = frozen[id] else {
                frozen[id] = now
                continue
            }
            if now - since > ShopCommand.lease * 13 / 10 { Glibc.kill(id, SIGCONT) }
        }
    }

    private mutating func strike() async throws {
        var kinds: [Kind] = [.kill, .kill, .kill, .kill, .freeze, .freeze, .freeze, .restartRedis]
        if database != nil { kinds += [.restartDatabase, .crashDatabase] }
        let kind = kinds[Int(random.next() % UInt64(kinds.count))]
        let worker = workers.sorted { $0.id < $1.id }.randomElement(using: &random)
        let pause = Duration.milliseconds(Int.random(in: 0...1500, using: &random))
        counts[kind, default: 0] += 1
        switch kind {
        case .kill: if let worker { Glibc.kill(worker.id, SIGKILL) }
        case .freeze: if let worker { Glibc.kill(worker.id, SIGSTOP) }
        case .restartRedis:
            await server.kill()
            try await Task.sleep(for: pause)
            try await server.start()
        case .restartDatabase, .crashDatabase:
            if kind == .crashDatabase { await database?.kill() } else { await database?.pause() }
            try await Task.sleep(for: pause)
            try await database?.start()
        }
    }

    /// The workers that run or are frozen.
    private var workers: [(id: Int32, isStopped: Bool)] {
        let all = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
        return all.compactMap { entry in
            guard let id = Int32(entry),
                let text = try? String(contentsOfFile: "/proc/\(id)/stat", encoding: .utf8),
                let close = text.lastIndex(of: ")"), text.contains("-worker)")
            else { return nil }
            let rest = text[close...].split(separator: " ")
            guard rest.count > 2, Int32(rest[2]) == up.id, rest[1] != "Z" else { return nil }
            return (id, rest[1] == "T")
        }
    }
}
