import Freshet
import FreshetRecords
import FreshetTesting
import Hiredis
import InMemoryLogging
import Logging
import ServiceLifecycle
import Testing

@Suite struct RelayTests {
    /// The texts of the notes in the log, in its order.
    static func log(_ broker: Broker) async throws -> [String] {
        var texts: [String] = []
        for try await entry in broker.history(of: .notes) {
            texts.append(try entry.event().decode(Noted.self).text)
        }
        return texts
    }

    static func withBroker(
        on store: Store, _ body: (LocalRedisServer, Broker, Scratch) async throws -> Void
    ) async throws {
        try await Scratch.with(store) { scratch in
            try await withRedisServer(
                LocalRedisServer(appendOnly: true, options: ["--appendfsync", "always"])
            ) {
                server in
                var configuration = try RedisConfiguration(url: server.url)
                configuration.commandTimeout = .seconds(1)
                let client = RedisClient(configuration)
                defer { client.close() }
                try await body(server, Broker(client, namespace: "test"), scratch)
            }
        }
    }

    static func write(_ count: Int, to records: ServiceRecords, prefix: String = "") async throws {
        for number in 0..<count {
            let text = "\(prefix)\(number)"
            try await records.handle(try Scratch.delivery("in-\(text)")) {
                try $0.publish(Noted(text: text), to: .notes, key: nil)
            }
        }
    }

    @Test(arguments: Store.allCases)
    func `the outbox is published in the order of its commits, with the story of its cause`(store: Store)
        async throws
    {
        try await Self.withBroker(on: store) { _, broker, scratch in
            let database = try scratch.open()
            let records = try await ServiceRecords(database, source: "notes", migrations: [], on: broker)
            try await withThrowingTaskGroup(of: Void.self) { tasks in
                tasks.addTask { try await records.relay.run() }
                try await Self.write(300, to: records)
                try await eventually("all published") { try await Self.log(broker).count >= 300 }
                tasks.cancelAll()
            }
            #expect(try await Self.log(broker) == (0..<300).map(String.init))
            var first: Event?
            for try await entry in broker.history(of: .notes) where first == nil { first = try entry.event() }
            #expect(
                first?.source == "notes" && first?.causationID == "in-0" && first?.correlationID == "in-0")
            #expect(
                try await database.read {
                    try $0.query("SELECT count(*) AS n FROM outbox WHERE published_at IS NULL")
                }[0].integer("n") == 0)
        }
    }

    @Test(arguments: Store.allCases) func `a server that is killed in between costs no event of the outbox`(
        store: Store
    ) async throws {
        try await Self.withBroker(on: store) { server, broker, scratch in
            let database = try scratch.open()
            let records = try await ServiceRecords(database, source: "notes", migrations: [], on: broker)
            try await withThrowingTaskGroup(of: Void.self) { tasks in
                tasks.addTask { try await records.relay.run() }
                try await Self.write(50, to: records, prefix: "a")
                await server.kill()
                try await Self.write(50, to: records, prefix: "b")
                try await server.start()
                try await eventually("all published") { (try? await Set(Self.log(broker)).count) == 100 }
                tasks.cancelAll()
            }
            // A row whose publication may have run is published again: the first occurrences stand in order.
            var seen: Set<String> = []
            let firsts = try await Self.log(broker).filter { seen.insert($0).inserted }
            #expect(firsts == (0..<50).map { "a\($0)" } + (0..<50).map { "b\($0)" })
        }
    }

    @Test(arguments: Store.allCases)
    func `a server whose memory is full now and then costs neither events nor their order`(store: Store)
        async throws
    {
        try await Self.withBroker(on: store) { _, broker, scratch in
            let records = try await ServiceRecords(
                try scratch.open(), source: "notes", migrations: [], on: broker)
            try await Self.write(400, to: records)
            try await withThrowingTaskGroup(of: Void.self) { tasks in
                tasks.addTask { try await records.relay.run() }
                tasks.addTask {
                    while !Task.isCancelled {
                        for limit in [1, 0] {
                            _ = try? await broker.client.send(
                                RedisCommand("CONFIG", "SET", "maxmemory", limit))
                            try? await Task.sleep(for: .microseconds(Int.random(in: 100...3000)))
                        }
                    }
                }
                try await eventually("all are published") { Set(try await Self.log(broker)).count == 400 }
                tasks.cancelAll()
            }
            try await broker.client.send(RedisCommand("CONFIG", "SET", "maxmemory", 0))
            var seen: Set<String> = []
            let firsts = try await Self.log(broker).filter { seen.insert($0).inserted }
            #expect(firsts == (0..<400).map(String.init))
        }
    }

    @Test(arguments: Store.allCases)
    func `a relay that does not reach the server leaves the turn to one that does`(store: Store) async throws
    {
        try await Self.withBroker(on: store) { _, broker, scratch in
            // Reaches the database, and no Redis.
            let cutOff = RedisClient(RedisConfiguration(address: .unix(path: "/none")))
            defer { cutOff.close() }
            let lost = try await ServiceRecords(
                scratch.open(), source: "notes", migrations: [], on: Broker(cutOff, namespace: "test"))
            let good = try await ServiceRecords(scratch.open(), source: "notes", migrations: [], on: broker)
            try await withThrowingTaskGroup(of: Void.self) { tasks in
                tasks.addTask { try await lost.relay.run() }
                try await Self.write(1, to: lost, prefix: "a")
                // It had the lease, could not publish, and has given it back though there is something to publish.
                try await eventually("it gives the lease back") {
                    let lease = try await good.database.read {
                        try $0.query("SELECT owner, held_until FROM outbox_relay")[0]
                    }
                    return lease.text("owner") != "" && lease.integer("held_until") == 0
                }
                tasks.addTask { try await good.relay.run() }
                for prefix in ["b", "c", "d"] {
                    try await Self.write(20, to: lost, prefix: prefix)
                    try await eventually("the other publishes", within: .seconds(10)) {
                        try await Self.log(broker).contains("\(prefix)19")
                    }
                }
                tasks.cancelAll()
            }
        }
    }

    @Test(arguments: Store.allCases)
    func `of two relays on one database one publishes, and the other takes over when it is gone`(store: Store)
        async throws
    {
        try await Self.withBroker(on: store) { _, broker, scratch in
            let databases = try [scratch.open(), scratch.open()]
            var records: [ServiceRecords] = []
            for database in databases {
                records.append(
                    try await ServiceRecords(database, source: "notes", migrations: [], on: broker))
            }
            let (one, two) = (records[0], records[1])
            try await withThrowingTaskGroup(of: Void.self) { tasks in
                let first = Task { try await one.relay.run() }
                tasks.addTask { try await two.relay.run() }
                try await Self.write(100, to: one, prefix: "a")
                try await Self.write(100, to: two, prefix: "b")
                try await eventually("both are published") { try await Self.log(broker).count >= 200 }
                first.cancel()
                try await first.value
                try await Self.write(100, to: two, prefix: "c")
                try await eventually("the other takes over") { try await Self.log(broker).count >= 300 }
                tasks.cancelAll()
            }
            let expected = ["a", "b", "c"].flatMap { prefix in (0..<100).map { "\(prefix)\($0)" } }
            #expect(try await Self.log(broker) == expected)
        }
    }

    @Test(arguments: Store.allCases)
    func `what a server has lost is published again, before what follows it, and what was trimmed is not`(
        store: Store
    )
        async throws
    {
        try await Scratch.with(store) { scratch in
            try await withRedisServer { server in
                let client = RedisClient(try RedisConfiguration(url: server.url))
                defer { client.close() }
                let broker = Broker(client, namespace: "test")
                let records = try await ServiceRecords(
                    scratch.open(), source: "notes", migrations: [], on: broker)
                let key = broker.keys("notes", 0).events
                try await withThrowingTaskGroup(of: Void.self) { tasks in
                    tasks.addTask { try await records.relay.run() }
                    try await Self.write(50, to: records, prefix: "a")
                    try await eventually("published") { try await Self.log(broker).count == 50 }
                    try await client.send(RedisCommand("XTRIM", key, "MAXLEN", 30))
                    // A snapshot, and what is published after it: gone after the crash.
                    try await client.send(RedisCommand("SAVE"))
                    try await Self.write(50, to: records, prefix: "b")
                    try await eventually("published") { try await Self.log(broker).count == 80 }
                    await server.kill()
                    try await Self.write(20, to: records, prefix: "c")
                    try await server.start()
                    try await eventually("all are published") { (try? await Self.log(broker).count) == 100 }
                    // As after a crash when nothing waits.
                    await server.kill()
                    try await server.start()
                    try await eventually("and again") { (try? await Self.log(broker).count) == 100 }
                    tasks.cancelAll()
                }
                let expected =
                    (20..<50).map { "a\($0)" } + (0..<50).map { "b\($0)" } + (0..<20).map { "c\($0)" }
                #expect(try await Self.log(broker) == expected)
            }
        }
    }

    @Test(arguments: Store.allCases)
    func `what is older than the retention leaves inbox and outbox, and what waits stays`(store: Store)
        async throws
    {
        try await Self.withBroker(on: store) { _, broker, scratch in
            let database = try scratch.open()
            let records = try await ServiceRecords(database, source: "notes", migrations: [], on: broker)
            try await Self.write(2500, to: records)
            let long = Timestamp(milliseconds: Timestamp.now().milliseconds - 31 * 86_400_000).description
            try await database.transaction { transaction in
                try transaction.execute(
                    "UPDATE inbox SET handled_at = $1 WHERE event_id < 'in-2'", .text(long))
                try transaction.execute("UPDATE outbox SET published_at = $1 WHERE seq <= 1500", .text(long))
            }
            let young = try await database.read {
                try $0.query("SELECT count(*) AS n FROM inbox WHERE event_id >= 'in-2'")[0].integer("n")
            }
            try await running(records.relay) {
                try await eventually("pruned") { try await count("outbox", in: database) == 1000 }
                try await eventually("and published") { try await Self.log(broker).count == 1000 }
            }
            #expect(try await count("inbox", in: database) == young)
            #expect(try await count("outbox", in: database) == 1000, "what was published a moment ago stays")
        }
    }

    @Test func `replicas that are away do not have the relay add the same events again and again`()
        async throws
    {
        try await Self.withBroker(on: .sqlite) { _, broker, scratch in
            try await broker.declare(
                TopicDeclaration(.notes, durability: .replicated(1, within: .milliseconds(50))))
            let database = try scratch.open()
            let records = try await ServiceRecords(database, source: "notes", migrations: [], on: broker)
            try await Self.write(30, to: records)
            try await running(records.relay) {
                try await eventually("all are published") {
                    try await database.read {
                        try $0.query("SELECT 1 AS found FROM outbox WHERE published_at IS NULL").isEmpty
                    }
                }
            }
            #expect(try await Self.log(broker) == (0..<30).map(String.init))
        }
    }

    @Test func `what a new primary never got is published again, before what follows it`() async throws {
        try await withRedisSentinels(LocalRedisSentinels(downAfter: .seconds(1))) { nodes in
            try await Scratch.with(.sqlite) { scratch in
                var configuration = try RedisConfiguration(url: nodes.url)
                configuration.commandTimeout = .seconds(1)
                let client = RedisClient(configuration)
                defer { client.close() }
                let broker = Broker(client, namespace: "test")
                let log = InMemoryLogHandler()
                let records = try await ServiceRecords(
                    scratch.open(), source: "notes", migrations: [], on: broker,
                    logger: Logger(label: "test", factory: { _ in log }))
                try await running(records.relay) {
                    try await Self.write(50, to: records, prefix: "a")
                    try await eventually("published") { try await Self.log(broker).count == 50 }
                    // From here on nothing reaches the replicas.
                    for replica in [1, 2] {
                        try await nodes.send(RedisCommand("REPLICAOF", "127.0.0.1", 1), to: replica)
                    }
                    try await Self.write(50, to: records, prefix: "b")
                    try await eventually("published") { try await Self.log(broker).count == 100 }
                    await nodes.kill(0)
                    try await Self.write(20, to: records, prefix: "c")
                    try await eventually("all are published", within: .seconds(60)) {
                        (try? await Self.log(broker).count) == 120
                    }
                }
                let expected =
                    (0..<50).map { "a\($0)" } + (0..<50).map { "b\($0)" } + (0..<20).map { "c\($0)" }
                #expect(try await Self.log(broker) == expected)
                #expect(await nodes.primary() != 0)
                let lost = log.entries.filter { "\($0.message)".hasPrefix("a log has lost events") }
                #expect(lost.count == 1, "the failover lost nothing")
            }
        }
    }
}
