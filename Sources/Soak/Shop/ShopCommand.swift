internal import ArgumentParser
internal import Freshet
internal import FreshetTesting
internal import Glibc
internal import Hiredis
internal import Workbench

/// `soak shop`
struct ShopCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "shop",
        abstract:
            "Kills the shop's workers at random and at every step, with its servers; its records stay right.",
        discussion: """
            Several processes of each service, 'shop place' at a steady rate, and meanwhile: SIGKILL and SIGSTOP of workers at \
            random and at each step of FRESHET_DRILL, Redis and PostgreSQL killed and started again. In the end everything \
            is settled and 'shop verify' finds nothing. shop and the workers stand beside this program (make soak).

            With --lossy nothing is killed but Redis, which comes back from an older snapshot every few seconds, as a failover to a \
            replica that lags does it. A service with a queue runs beside the shop. A quiet phase with the same processes follows, and then \
            nothing is missing.
            """)

    enum Store: String, CaseIterable, ExpressibleByArgument { case sqlite, postgres }

    @Option(help: "What the faults are made from; nothing makes one up.")
    var seed: UInt64?

    @Option(help: "Where the records are: sqlite or postgres.")
    var store = Store.sqlite

    @Option(help: "How many orders.")
    var orders = 20_000

    @Option(help: "Seconds in which they are placed, and faults happen.")
    var seconds = 60

    @Option(help: "How many processes of each service.")
    var replicas = 3

    @Option(
        help: "any or perKey.",
        transform: { text throws in
            guard let ordering = Ordering(rawValue: text) else { throw ValidationError("any or perKey") }
            return ordering
        })
    var ordering = Ordering.any

    @Flag(help: "The server loses its last moments again and again, and nobody is killed.")
    var lossy = false

    @Option(help: "About how many processes freeze within a transaction.")
    var freezes = 4

    static let lease = Duration.seconds(2)

    func run() async throws {
        let seed = seed ?? UInt64.random(in: 0 ... .max)
        print(
            "soak shop --seed \(seed) --store \(store.rawValue) --orders \(orders) --seconds \(seconds) --replicas \(replicas) --ordering \(ordering.rawValue) --freezes \(freezes)\(lossy ? " --lossy" : "")"
        )
        try await untilInterrupted { try await attack(seed) }
    }

    private func attack(_ seed: UInt64) async throws {
        // What was acknowledged survives a kill.
        let server =
            lossy
            ? LocalRedisServer()
            : LocalRedisServer(appendOnly: true, options: ["--appendfsync", "always"])
        try await withRedisServer(server) { server in
            guard store == .postgres else { return try await attack(seed, server, nil) }
            let options = ["-c", "track_commit_timestamp=on", "-c", "max_connections=300"]
            try await withPostgres(LocalPostgres(options: options)) { try await attack(seed, server, $0) }
        }
    }

    private func attack(_ seed: UInt64, _ server: LocalRedisServer, _ database: LocalPostgres?) async throws {
        let shop = try ShopUnderAttack(server: server, database: database, ordering: ordering)
        if lossy {
            var losses = ShopLosses(
                seed: seed, shop: shop, server: server, orders: orders, seconds: seconds, replicas: replicas)
            let verdict = try await losses.run()
            guard verdict.holds else {
                print("logs and databases are in \(shop.keep())")
                throw ExitCode(1)
            }
            return
        }
        try shop.writeOrders(orders, seed: seed)
        let up = try shop.up(replicas: replicas, drill: drill)
        let isUp = try await shop.eventually(within: .seconds(60)) { try await shop.groups().count == 5 }
        let place = try shop.start(
            "place", ["--orders", shop.orders, "--rate", "\(max(1, orders / max(1, seconds)))/s"],
            log: "place")
        var faults = ShopFaults(seed: seed, shop: shop, up: up, server: server, database: database)
        let placed = try await faults.run(while: place)
        up.signal(SIGTERM)
        let ended = await faults.wake(until: up)
        print("faults: \(faults.summary)")
        print(
            "drills: \(shop.drills.sorted { $0.key < $1.key }.map { "\($0.value) x \($0.key)" }.joined(separator: ", "))"
        )

        let settled = try await shop.settle(replicas: replicas, within: .seconds(240))
        let verified = try await shop.verify(inOrder: ordering == .perKey)
        print(verified.text)
        var verdict = Verdict()
        verdict.check("the shop came up", isUp ? [] : ["no groups within a minute"])
        verdict.check(
            "all orders were placed",
            placed == .exited(0) ? [] : ["\(placed): \(shop.log("place").suffix(300))"])
        verdict.check(
            "the shop drained", ended == .exited(0) ? [] : ["\(ended): \(shop.log("up").suffix(300))"])
        verdict.check(
            "everything is settled",
            settled == .exited(0) ? [] : ["\(settled): \(shop.log("settle").suffix(300))"])
        verdict.check("shop verify exits 0", verified.ending == .exited(0) ? [] : ["\(verified.ending)"])
        for step in Drill.Step.allCases {
            verdict.demand(
                "processes that died at \(step.rawValue)", shop.drills["killed at \(step.rawValue)"] ?? 0)
        }
        verdict.demand(
            "events taken over from the dead", shop.count("took over events") + shop.count("took a partition")
        )
        verdict.demand("events that the inbox knew", shop.count("handled before"))
        guard verdict.holds else {
            print("logs and databases are in \(shop.keep())")
            throw ExitCode(1)
        }
    }

    /// So that a handful of processes die, and some freeze, at each step: an order is five runs of handlers.
    private var drill: String {
        func one(of times: Int, in count: Int) -> Int { max(1, times / count) }
        let runs = 5 * orders
        var parts: [String] = []
        for step in Drill.Step.allCases {
            switch step {
            case .beforeHandler, .beforeCommit, .afterCommit, .beforeAcknowledge:
                parts.append("\(step.rawValue)=kill/\(one(of: runs, in: 6))")
            case .afterOutsideCall: parts.append("\(step.rawValue)=kill/\(one(of: orders, in: 8))")
            // Of batches, whose number depends on how much comes together.
            case .afterAcknowledge: parts.append("\(step.rawValue)=kill/\(one(of: runs, in: 40))")
            case .beforePublish, .afterPublish, .afterMark:
                parts.append("\(step.rawValue)=kill/\(one(of: orders, in: 1000))")
            }
        }
        parts.append("before-commit=freeze/\(one(of: runs, in: freezes))")
        parts.append("after-commit=freeze/\(one(of: runs, in: 3))")
        parts.append("after-publish=freeze/\(one(of: orders, in: 10))")
        return parts.joined(separator: ",")
    }
}
