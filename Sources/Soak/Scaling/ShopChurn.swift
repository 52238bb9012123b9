internal import Freshet
internal import FreshetTesting
internal import Glibc
internal import Workbench

/// The shop's workers come, are drained and are killed at random while orders are placed.
struct ShopChurn {
    private static let services = ["order", "customer", "payment"]
    private static let most = 4
    private static let rate = 300

    let orders: Int
    let store: RecordsStore

    func run(_ seed: UInt64) async throws -> ScaleReport.Shop {
        try await withRedisServer(LocalRedisServer(appendOnly: true)) { server in
            guard store == .postgres else { return try await run(seed, server, nil) }
            return try await withPostgres(LocalPostgres(options: ["-c", "max_connections=300"])) {
                try await run(seed, server, $0)
            }
        }
    }

    private func run(_ seed: UInt64, _ server: LocalRedisServer, _ database: LocalPostgres?) async throws
        -> ScaleReport.Shop
    {
        let shop = try ShopUnderAttack(server: server, database: database)
        var result = ScaleReport.Shop(orders: orders)
        // Lays out the folder and, in PostgreSQL, the schemas.
        let layout = try await shop.settle(replicas: 1, within: .seconds(60))
        if layout != .exited(0) { result.problems.append("the shop did not come up: \(layout)") }
        try shop.writeOrders(orders, seed: seed)
        var workers = try Self.services.flatMap { service in
            try (0..<2).map { try Member(service, log: "\(service)-\($0)", of: shop) }
        }
        defer { for worker in workers { worker.process.signal(SIGKILL) } }
        let place = try shop.start(
            "place", ["--orders", shop.orders, "--rate", "\(Self.rate)/s"], log: "place")
        var (random, endings) = (Seeded(seed), [ChildProcess.Ending]())
        let progress = Progress()
        while place.ending == nil {
            progress.show("the shop: \(workers.count) workers")
            try await Task.sleep(for: .milliseconds(Int.random(in: 500...1200, using: &random)))
            let (service, what) = (Self.services[Int(random.next() % 3)], random.next() % 5)
            let own = workers.indices.filter { workers[$0].service == service }
            switch what {
            case 0...1 where own.count < Self.most:
                result.added += 1
                workers.append(try Member(service, log: "added-\(result.added)", of: shop))
            case 2...3 where own.count > 1:
                result.drained += 1
                endings.append(try await workers.remove(at: own[0]).leave(shop))
            case 4 where own.count > 1:
                result.killed += 1
                let victim = workers.remove(at: own[0]).process
                victim.signal(SIGKILL)
                await victim.wait()
            default: break
            }
        }
        progress.clear()
        endings.append(await place.wait())
        _ = try await shop.eventually(within: .seconds(120)) {
            try await shop.groups().allSatisfy { $0.waiting + $0.pending + $0.delayed == 0 }
        }
        for worker in workers { endings.append(try await worker.leave(shop)) }
        workers = []
        let settled = try await shop.settle(replicas: 1, within: .seconds(120))
        let verified = try await shop.verify(inOrder: false)
        result.problems += endings.filter { $0 != .exited(0) }.map { "a program ended with \($0)" }
        if settled != .exited(0) { result.problems.append("the shop is not settled: \(settled)") }
        if verified.ending != .exited(0) { result.problems.append("shop verify: \(verified.text)") }
        return result
    }

    /// A worker, once it handles signals.
    private struct Member {
        let service: String
        let process: ChildProcess
        private let log: String

        init(_ service: String, log: String, of shop: ShopUnderAttack) throws {
            (self.service, self.log) = (service, log)
            process = try shop.worker(service, log: log)
        }

        func leave(_ shop: ShopUnderAttack) async throws -> ChildProcess.Ending {
            try await eventually("\(log) has started") { shop.hasStarted(log) || process.ending != nil }
            return await process.stop(within: .seconds(40))
        }
    }
}
