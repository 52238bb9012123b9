internal import ArgumentParser
internal import FoundationEssentials
internal import Freshet
internal import FreshetTesting
internal import Glibc
internal import Workbench

/// `soak rolling`
struct RollingCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rolling",
        abstract: "Changes the shop's workers for those of another version under load, one by one.",
        discussion: """
            Orders of version 1 are placed by the old shop and, as soon as the first new worker runs, orders of version 2 by the \
            new one: what old workers cannot read is set aside, and brought back when all are new. In the end everything is \
            settled and 'shop verify' finds nothing. 'make rolling' builds the old programs and runs this.
            """)

    @Option(help: "The folder with the old programs: shop and its workers.")
    var old: String

    @Option(help: "What the orders are made from; nothing makes one up.")
    var seed: UInt64?

    @Option(help: "Where the records are: sqlite or postgres.")
    var store = ShopCommand.Store.sqlite

    @Option(help: "How many orders of each version.")
    var orders = 5000

    @Option(help: "Orders a second, of each version.")
    var rate = 300

    func run() async throws {
        let seed = seed ?? UInt64.random(in: 0 ... .max)
        print("soak rolling --seed \(seed) --store \(store.rawValue) --orders \(orders) --rate \(rate)")
        try await untilInterrupted {
            try await withRedisServer(LocalRedisServer(appendOnly: true)) { server in
                guard store == .postgres else { return try await roll(seed, server, nil) }
                try await withPostgres { try await roll(seed, server, $0) }
            }
        }
    }

    private func roll(_ seed: UInt64, _ server: LocalRedisServer, _ database: LocalPostgres?) async throws {
        let shop = try ShopUnderAttack(server: server, database: database)
        // Lays out the folder and, in PostgreSQL, the schemas.
        let layout = try await shop.settle(replicas: 1, within: .seconds(30), of: old)
        try shop.writeOrders(orders, seed: seed)
        let second = try shop.writeOrders(orders, seed: seed &+ 1, from: orders)
        let services = ["order", "customer", "payment", "order", "customer", "payment"]
        var workers: [(service: String, process: ChildProcess)] = []
        for (number, service) in services.enumerated() {
            workers.append((service, try shop.worker(service, log: "old-\(number)", of: old)))
        }
        defer { for worker in workers { worker.process.signal(SIGKILL) } }
        let first = try shop.start(
            "place", ["--orders", shop.orders, "--rate", "\(rate)/s"], log: "place-1", of: old)
        try await Task.sleep(for: .seconds(2))

        var (endings, newest): ([ChildProcess.Ending], ChildProcess?) = ([], nil)
        for number in workers.indices {
            endings.append(await workers[number].process.stop(within: .seconds(40)))
            workers[number].process = try shop.worker(workers[number].service, log: "new-\(number)")
            if newest == nil {
                newest = try shop.start(
                    "place", ["--orders", second, "--rate", "\(rate)/s"], log: "place-2")
            }
            try await Task.sleep(for: .seconds(1))
        }
        var placed = [try await shop.ending(of: first, within: .seconds(120))]
        if let newest { placed.append(try await shop.ending(of: newest, within: .seconds(120))) }
        let invalid = try await shop.groups().reduce(0) { $0 + $1.invalid }
        for group in ["order", "customer", "payment"] {
            endings.append(
                try await shop.tool(
                    "freshet", ["invalid", "retry", "--topic", "orders", "--group", group, "--all", "--yes"]))
        }
        _ = try await shop.eventually(within: .seconds(120)) {
            try await shop.groups().allSatisfy { $0.waiting + $0.pending + $0.delayed == 0 }
        }
        for worker in workers { endings.append(await worker.process.stop(within: .seconds(40))) }
        let settled = try await shop.settle(replicas: 1, within: .seconds(60))
        let verified = try await shop.verify(inOrder: false)
        let left = try await shop.groups().reduce(0) { $0 + $1.invalid + $1.dead }

        print(verified.text)
        var verdict = Verdict()
        verdict.check(
            "the old shop came up",
            layout == .exited(0) ? [] : ["\(layout): \(shop.log("settle").suffix(300))"])
        verdict.check("all orders were placed", placed.filter { $0 != .exited(0) }.map { "\($0)" })
        verdict.check(
            "all workers drained, and the tool brought back",
            endings.filter { $0 != .exited(0) }.map { "\($0)" })
        verdict.check(
            "everything is settled",
            settled == .exited(0) ? [] : ["\(settled): \(shop.log("settle").suffix(300))"])
        verdict.check("nothing is left aside", left == 0 ? [] : ["\(left) entries"])
        verdict.check("shop verify exits 0", verified.ending == .exited(0) ? [] : ["\(verified.ending)"])
        verdict.demand("events that old workers set aside", invalid)
        guard verdict.holds else {
            print("logs and databases are in \(shop.keep())")
            throw ExitCode(1)
        }
    }
}
