import Freshet
import FreshetRecords
import FreshetTesting
import Hiredis
import Testing

/// A log that takes no events holds up no other.
@Suite struct RefusalTests {
    private static let other = Topic("others")

    private static func write(
        _ count: Int, to topic: Topic, _ records: ServiceRecords, size: Int = 0, prefix: String = ""
    ) async throws {
        let padding = String(repeating: "x", count: size)
        for number in 0..<count {
            let text = "\(prefix)\(number)"
            try await records.handle(try Scratch.delivery("in-\(topic.name)-\(text)")) {
                try $0.publish(Noted(text: text + padding), to: topic, key: nil)
            }
        }
    }

    private static func unpublished(_ database: any Records, of topic: Topic) async throws -> Int64 {
        try await database.read {
            try $0.query(
                "SELECT count(*) AS n FROM outbox WHERE published_at IS NULL AND topic = $1",
                .text(topic.name.rawValue))
        }[0].integer("n") ?? -1
    }

    @Test(arguments: Store.allCases)
    func `a topic that refuses its events stops no other, and goes on when it takes them`(store: Store)
        async throws
    {
        try await RelayTests.withBroker(on: store) { _, broker, scratch in
            let key = broker.namespace.topicKey("others")
            try await broker.client.send(RedisCommand("HSET", key, "partitions", "2"))
            let records = try await ServiceRecords(
                scratch.open(), source: "notes", migrations: [], on: broker)
            try await Self.write(300, to: Self.other, records)
            try await RelayTests.write(20, to: records)
            try await running(records.relay) {
                try await eventually("the other topic's are published") {
                    try await RelayTests.log(broker).count == 20
                }
                #expect(try await Self.unpublished(records.database, of: Self.other) == 300)
                try await broker.client.send(RedisCommand("HSET", key, "partitions", "1"))
                try await eventually("and then these") {
                    try await Self.unpublished(records.database, of: Self.other) == 0
                }
            }
            #expect(try await broker.client.send(.xlen(broker.keys("others", 0).events)) == 300)
        }
    }

    @Test func `a topic with a limit takes what fits, in order, and the rest once there is room`()
        async throws
    {
        try await RelayTests.withBroker(on: .sqlite) { _, broker, scratch in
            try await broker.declare(TopicDeclaration(.notes, limit: 100))
            let records = try await ServiceRecords(
                scratch.open(), source: "notes", migrations: [], on: broker)
            try await RelayTests.write(150, to: records)
            try await running(records.relay) {
                try await eventually("as many as fit") { try await RelayTests.log(broker).count == 100 }
                #expect(try await RelayTests.log(broker) == (0..<100).map(String.init))
                let key = broker.keys("notes", 0).events
                try await broker.client.send(RedisCommand("XTRIM", key, "MAXLEN", 10))
                try await eventually("the rest") { try await RelayTests.log(broker).count == 60 }
            }
            #expect(try await RelayTests.log(broker) == (90..<150).map(String.init))
        }
    }

    @Test(arguments: Store.allCases)
    func `large events leave a few at a time`(store: Store) async throws {
        try await RelayTests.withBroker(on: store) { _, broker, scratch in
            let records = try await ServiceRecords(
                scratch.open(), source: "notes", migrations: [], on: broker)
            try await Self.write(24, to: .notes, records, size: 1_000_000)
            try await running(records.relay) {
                let key = broker.keys("notes", 0).events
                try await eventually("all are published", within: .seconds(60)) {
                    (try? await broker.client.send(.xlen(key))) == 24
                }
                var memory = ""
                try await eventually("the server says how much it holds") {
                    memory = (try? await broker.client.send(RedisCommand("INFO", "memory")).string) ?? ""
                    return !memory.isEmpty
                }
                func bytes(_ name: String) -> Int {
                    let line = memory.split(whereSeparator: \.isNewline).first { $0.hasPrefix("\(name):") }
                    return line.flatMap { Int($0.dropFirst(name.count + 1)) } ?? 0
                }
                // All of them in one transaction would be there twice for a moment.
                let surplus = bytes("used_memory_peak") - bytes("used_memory")
                #expect(bytes("used_memory") > 24_000_000 && surplus < 12_000_000, "\(surplus)")
            }
        }
    }

    @Test(.timeLimit(.minutes(3)))
    func `a cluster's node that does not answer holds up neither other nodes' logs nor a look at them`()
        async throws
    {
        let cluster = LocalRedisCluster(options: ["--cluster-require-full-coverage", "no"])
        try await withRedisCluster(cluster) { cluster in
            try await Scratch.with(.sqlite) { scratch in
                var configuration = try RedisConfiguration(url: cluster.url)
                configuration.commandTimeout = .seconds(2)
                let client = RedisClient(configuration)
                defer { client.close() }
                let broker = Broker(client, namespace: "test")
                let records = try await ServiceRecords(
                    scratch.open(), source: "notes", migrations: [], on: broker)
                func node(_ topic: Topic) -> Int {
                    cluster.firstPrimary(of: broker.keys(topic.name, 0).events)
                }
                let topics = ["a", "b", "c", "d", "e", "f", "g", "h"].map { Topic(TopicName(unchecked: $0)) }
                let silent = try #require(topics.first)
                let other = try #require(topics.first { node($0) != node(silent) })
                func length(_ topic: Topic) async -> Int? {
                    try? await client.send(.xlen(broker.keys(topic.name, 0).events))
                }
                try await running(records.relay) {
                    for topic in [silent, other] { try await Self.write(1, to: topic, records) }
                    try await eventually("both take events") {
                        let lengths = (await length(silent), await length(other))
                        return lengths == (1, 1)
                    }
                    for paused in [node(silent), node(silent) + 3] { cluster.pause(paused) }
                    try await Self.write(300, to: silent, records, prefix: "more-")
                    try await Self.write(20, to: other, records, prefix: "more-")
                    try await eventually("the other node's log goes on") { await length(other) == 21 }
                    let keys = broker.keys(other.name, 0)
                    try await client.send(RedisCommand("DEL", keys.events))
                    try await eventually("and is looked at") { await length(other) == 21 }
                    for paused in [node(silent), node(silent) + 3] { cluster.resume(paused) }
                    try await eventually("and the first node's when it is back", within: .seconds(60)) {
                        try await Self.unpublished(records.database, of: silent) == 0
                    }
                }
                #expect((await length(silent) ?? 0) >= 301)
            }
        }
    }
}
