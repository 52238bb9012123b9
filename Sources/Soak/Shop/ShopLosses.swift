internal import Freshet
internal import FreshetRecords
internal import FreshetTesting
internal import Glibc
internal import Hiredis
internal import Logging
internal import ServiceLifecycle
internal import Workbench

/// The shop's server comes back from an older snapshot every few seconds, as a failover to a replica that
/// lags does it, and all of the shop's processes live on. A quiet phase with the same processes follows; then
/// nothing is missing.
struct ShopLosses {
    /// What a relay logs of a loss.
    static let message = "a log has lost events of the outbox, publishing them again"

    let seed: UInt64
    let shop: ShopUnderAttack
    let server: LocalRedisServer
    let orders: Int
    let seconds: Int
    let replicas: Int
    private var random: Seeded
    private var losses = 0

    init(
        seed: UInt64, shop: ShopUnderAttack, server: LocalRedisServer, orders: Int, seconds: Int,
        replicas: Int
    ) {
        (self.seed, self.shop, self.server) = (seed, shop, server)
        (self.orders, self.seconds, self.replicas) = (orders, seconds, replicas)
        random = Seeded(seed)
    }

    mutating func run() async throws -> Verdict {
        let files = [
            try shop.writeOrders(orders / 2, seed: seed),
            try shop.writeOrders(orders / 2, seed: seed &+ 1, from: orders / 2),
        ]
        // Orders whose payment takes longer are cancelled by an event that is scheduled.
        let up = try shop.up(replicas: replicas, environment: ["PAYMENT_DEADLINE": "4"])
        let isUp = try await shop.eventually(within: .seconds(60)) { try await shop.groups().count == 5 }
        var mailer = try await LossyMailer(on: server, url: "sqlite:\(shop.folder)/mails.db")
        defer { mailer.close() }
        let (placed, settled) = try await lose(beside: &mailer, placing: files)
        up.signal(SIGTERM)
        let ended = await up.wait()
        let verified = try await shop.verify(inOrder: false)
        let restored = shop.sum("count", where: Self.message)

        print(verified.text)
        var verdict = Verdict()
        verdict.check("the shop came up", isUp ? [] : ["no groups within a minute"])
        verdict.check("all orders were placed", placed.filter { $0 != .exited(0) }.map { "\($0)" })
        verdict.check(
            "everything is settled by those who were there", settled ? [] : ["not within four minutes"])
        verdict.check("no mail of the queue is missing", mailer.missing)
        verdict.check("the shop drained", ended == .exited(0) ? [] : ["\(ended)"])
        verdict.check("shop verify exits 0", verified.ending == .exited(0) ? [] : ["\(verified.ending)"])
        verdict.demand("losses of the server's last moments", losses)
        verdict.demand("restored events of the shop's outboxes", restored)
        verdict.demand("restored events of a queue's outbox", mailer.restored)
        verdict.demand("events that the inbox knew", shop.count("handled before"))
        return verdict
    }

    /// Loses, then waits; whether everything was settled in the end.
    private mutating func lose(beside mailer: inout LossyMailer, placing files: [String]) async throws -> (
        placed: [ChildProcess.Ending], settled: Bool
    ) {
        var (placed, isSettled) = ([ChildProcess.Ending](), false)
        let group = ServiceGroup(
            configuration: .init(
                services: mailer.services.map { .init(service: $0) }, logger: .init(label: "soak")))
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await group.run() }
            let rate = "\(max(1, orders / 2 / max(1, seconds)))/s"
            let places = try files.enumerated().map { number, file in
                try shop.start("place", ["--orders", file, "--rate", rate], log: "place-\(number)")
            }
            while places.contains(where: { $0.ending == nil }) { try await loseOnce(beside: &mailer) }
            for place in places { placed.append(await place.wait()) }
            // Orders have no outbox: what of them was lost is placed again. Quiet from here on.
            for (number, file) in files.enumerated() {
                let again = try shop.start("place", ["--orders", file], log: "again-\(number)")
                placed.append(try await shop.ending(of: again, within: .seconds(120)))
            }
            let last = mailer
            isSettled = try await shop.eventually(within: .seconds(240)) {
                guard try await isQuiet(), try await last.isSettled() else { return false }
                // What the one look had before it the next one has behind it.
                return try await isQuiet()
            }
            await group.triggerGracefulShutdown()
            try await tasks.waitForAll()
        }
        return (placed, isSettled)
    }

    /// A snapshot, some work, and the server is back at the snapshot.
    private mutating func loseOnce(beside mailer: inout LossyMailer) async throws {
        let client = RedisClient(try RedisConfiguration(url: server.url))
        defer { client.close() }
        try await work(for: .milliseconds(Int.random(in: 200...1500, using: &random)), beside: &mailer)
        try await client.send(RedisCommand("SAVE"), timeout: .seconds(20))
        try await work(for: .milliseconds(Int.random(in: 100...1500, using: &random)), beside: &mailer)
        await server.kill()
        // Some commit meanwhile, and after a longer outage the time of scheduled events has come.
        let longest = losses % 4 == 3 ? 3000 : 400
        try await work(for: .milliseconds(Int.random(in: 0...longest, using: &random)), beside: &mailer)
        try await server.start()
        losses += 1
    }

    private func work(for duration: Duration, beside mailer: inout LossyMailer) async throws {
        let end = ContinuousClock.now + duration
        while ContinuousClock.now < end {
            try await mailer.write()
            try await Task.sleep(for: .milliseconds(10))
        }
    }

    /// Whether nothing of the shop waits anywhere, in its groups, its schedules or its outboxes.
    private func isQuiet() async throws -> Bool {
        guard try await shop.groups().allSatisfy({ $0.waiting + $0.pending + $0.delayed == 0 }),
            try await shop.scheduledCount() == 0
        else { return false }
        return try await shop.unpublishedCount() == 0
    }
}
