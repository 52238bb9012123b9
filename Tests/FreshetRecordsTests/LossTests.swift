import Freshet
import FreshetRecords
import FreshetTesting
import Hiredis
import ServiceLifecycle
import Testing

/// A server that comes back from an older snapshot, as a new primary that lagged does: what it acknowledged
/// since is gone.
@Suite struct LossTests {
    /// A service and a server that only keeps what was there at its last SAVE.
    private struct Rig {
        let server: LocalRedisServer
        let broker: Broker
        let scratch: Scratch
        let records: ServiceRecords

        static func with(_ store: Store = .sqlite, _ body: (Rig) async throws -> Void) async throws {
            try await Scratch.with(store) { scratch in
                try await withRedisServer { server in
                    var configuration = try RedisConfiguration(url: server.url)
                    configuration.commandTimeout = .seconds(1)
                    let client = RedisClient(configuration)
                    defer { client.close() }
                    let broker = Broker(client, namespace: "test")
                    let records = try await ServiceRecords(
                        scratch.open(), source: "notes", migrations: [], on: broker)
                    try await body(
                        Rig(server: server, broker: broker, scratch: scratch, records: records))
                }
            }
        }

        /// The same service as another process.
        func successor() async throws -> ServiceRecords {
            try await ServiceRecords(scratch.open(), source: "notes", migrations: [], on: broker)
        }

        func save() async throws { try await broker.client.send(RedisCommand("SAVE")) }

        func loseWhatCameSince() async throws {
            await server.kill()
            try await server.start()
        }

        func write(_ texts: [String], to topic: Topic = .notes, at time: Timestamp? = nil) async throws {
            for text in texts {
                try await records.handle(try Scratch.delivery("in-\(text)")) {
                    try $0.publish(Noted(text: text), to: topic, key: "k", deliverAt: time)
                }
            }
        }

        func log(of topic: Topic = .notes) async throws -> [String] {
            var texts: [String] = []
            for try await entry in broker.history(of: topic) {
                texts.append(try entry.event().decode(Noted.self).text)
            }
            return texts
        }

        func published(_ count: Int, of topic: Topic = .notes) async throws {
            try await eventually("\(count) are published", within: .seconds(60)) {
                try await log(of: topic).count == count
            }
        }
    }

    private static func texts(_ prefix: String, _ count: Int) -> [String] {
        (0..<count).map { "\(prefix)\($0)" }
    }

    @Test(arguments: Store.allCases)
    func `a relay that has just started brings back what was lost before it, with nothing new to publish`(
        store: Store
    ) async throws {
        try await Rig.with(store) { rig in
            try await running(rig.records.relay) {
                try await rig.write(Self.texts("a", 5))
                try await rig.published(5)
                try await rig.save()
                try await rig.write(Self.texts("b", 5))
                try await rig.published(10)
            }
            try await rig.loseWhatCameSince()
            #expect(try await rig.log().count == 5)
            try await running(try await rig.successor().relay) { try await rig.published(10) }
            #expect(try await rig.log() == Self.texts("a", 5) + Self.texts("b", 5))
        }
    }

    @Test(arguments: Store.allCases)
    func `an outage may be longer than ten minutes, and more may be lost than a page holds`(store: Store)
        async throws
    {
        try await Rig.with(store) { rig in
            try await rig.write(Self.texts("a", 5))
            try await running(rig.records.relay) {
                try await rig.published(5)
                try await rig.save()
                try await rig.write(Self.texts("b", 1300))
                try await rig.published(1305)
                await rig.server.kill()
                let long = Timestamp(milliseconds: Timestamp.now().milliseconds - 3_600_000).description
                try await rig.records.database.transaction {
                    _ = try $0.execute("UPDATE outbox SET published_at = $1", .text(long))
                }
                try await rig.server.start()
                try await rig.published(1305)
            }
            #expect(try await rig.log() == Self.texts("a", 5) + Self.texts("b", 1300))
        }
    }

    @Test func `what another publisher adds first hides no loss`() async throws {
        try await Rig.with { rig in
            try await running(rig.records.relay) {
                try await rig.write(["a"])
                try await rig.published(1)
                try await rig.save()
                try await rig.write(["b", "c"])
                try await rig.published(3)
                try await rig.loseWhatCameSince()
                // Below the first entry, or the newest that was deleted, is then all that was lost.
                let key = rig.broker.keys("notes", 0).events
                try await rig.broker.client.send(RedisCommand("XTRIM", key, "MAXLEN", 0))
                try await Publisher(to: .notes, on: rig.broker).publish(
                    Event(Noted(text: "other"), source: "other"))
                try await rig.published(3)
            }
            #expect(
                try await rig.log().filter { $0 != "other" } == ["b", "c"], "and what was trimmed is not lost"
            )
        }
    }

    @Test func `of a queue comes back what was lost, and not what was settled`() async throws {
        let jobs = Topic("jobs", kind: .queue)
        try await Rig.with { rig in
            let seen = Record<String>()
            let worker = Subscription(to: jobs, group: "worker", on: rig.broker) {
                On(Noted.self) { note, _ in seen.add(note.text) }
            }
            try await running(rig.records.relay) {
                try await running(worker) {
                    try await rig.write(Self.texts("a", 20), to: jobs)
                    try await eventually("all are handled and deleted") {
                        let left = try await rig.log(of: jobs)
                        return seen.count == 20 && left.isEmpty
                    }
                }
                try await rig.save()
                try await rig.write(Self.texts("b", 3), to: jobs)
                try await rig.published(3, of: jobs)
                try await rig.loseWhatCameSince()
                // What is settled now is newer than what was lost.
                try await Publisher(to: jobs, on: rig.broker).publish(
                    Event(Noted(text: "other"), source: "other"))
                let key = rig.broker.keys("jobs", 0).events
                try await eventually("it is there and deleted") {
                    let there = try await rig.broker.client.send(.xrange(key)).first {
                        $0.field("source")?.string == "other"
                    }
                    guard let there else { return false }
                    return try await rig.broker.client.send(RedisCommand("XDEL", key, "\(there.id)")).integer
                        == 1
                }
                try await rig.published(3, of: jobs)
                #expect(try await rig.log(of: jobs) == Self.texts("b", 3))
            }
        }
    }

    @Test func `a delayed event whose time came during the outage is delivered`() async throws {
        try await Rig.with { rig in
            let seen = Record<String>()
            let reader = Subscription(to: .notes, group: "reader", on: rig.broker) {
                On(Noted.self) { note, _ in seen.add(note.text) }
            }
            try await running(rig.records.relay) {
                try await rig.write(["a"])
                try await rig.published(1)
                try await rig.save()
                let due = Timestamp(milliseconds: Timestamp.now().milliseconds + 2000)
                try await rig.write(["later"], at: due)
                let key = rig.broker.keys("notes", 0).scheduled
                try await eventually("it waits") {
                    try await rig.broker.client.send(RedisCommand("ZCARD", key)).integer == 1
                }
                await rig.server.kill()
                try await eventually("its time comes") { Timestamp.now().milliseconds > due.milliseconds }
                try await rig.server.start()
                try await running(reader) {
                    try await eventually("it is delivered") { seen.all.contains("later") }
                }
            }
        }
    }

    @Test func `two processes with different primaries lose nothing and keep the order`() async throws {
        try await Scratch.with(.sqlite) { scratch in
            try await withRedisServer(LocalRedisServer(port: freePort())) { old in
                try await withRedisServer(LocalRedisServer()) { new in
                    let clients = try [old, new].map { RedisClient(try RedisConfiguration(url: $0.url)) }
                    defer { for client in clients { client.close() } }
                    let brokers = clients.map { Broker($0, namespace: "test") }
                    var processes: [ServiceRecords] = []
                    for broker in brokers {
                        processes.append(
                            try await ServiceRecords(
                                scratch.open(), source: "notes", migrations: [], on: broker))
                    }
                    let (a, b) = (processes[0], processes[1])
                    try await running(a.relay) {
                        try await RelayTests.write(1, to: a, prefix: "p")
                        try await eventually("on the old one") {
                            try await RelayTests.log(brokers[0]) == ["p0"]
                        }
                    }
                    try await clients[1].send(RedisCommand("REPLICAOF", "127.0.0.1", old.port ?? 0))
                    try await eventually("copied") {
                        (try? await RelayTests.log(brokers[1])) == ["p0"]
                    }
                    try await clients[1].send(RedisCommand("REPLICAOF", "NO", "ONE"))
                    // One process is with the new primary before the other, which publishes on the old one
                    // once more.
                    try await running(b.relay) {
                        try await RelayTests.write(1, to: b, prefix: "n")
                        try await eventually("on the new one") {
                            try await RelayTests.log(brokers[1]) == ["p0", "n0"]
                        }
                    }
                    try await running(a.relay) {
                        try await RelayTests.write(1, to: a, prefix: "z")
                        try await eventually("on the old one") {
                            try await RelayTests.log(brokers[0]).contains("z0")
                        }
                    }
                    try await running(b.relay) {
                        try await RelayTests.write(1, to: b, prefix: "y")
                        try await eventually("on the new one") {
                            try await RelayTests.log(brokers[1]).contains("y0")
                        }
                    }
                    var seen: Set<String> = []
                    let firsts = try await RelayTests.log(brokers[1]).filter { seen.insert($0).inserted }
                    #expect(firsts == ["p0", "n0", "z0", "y0"])
                }
            }
        }
    }

    @Test func `a log that someone removes comes back with all that its outbox keeps`() async throws {
        try await Rig.with { rig in
            try await running(rig.records.relay) {
                try await rig.write(Self.texts("a", 20))
                try await rig.published(20)
                let keys = rig.broker.keys("notes", 0)
                try await rig.broker.client.send(RedisCommand("DEL", keys.events))
                try await rig.published(20)
                try await rig.write(["b"])
                try await rig.published(21)
            }
            #expect(try await rig.log() == Self.texts("a", 20) + ["b"])
        }
    }

    @Test func `what stands where it was published stays as it is when only the mark is lost`() async throws {
        try await Rig.with { rig in
            try await running(rig.records.relay) {
                try await rig.write(Self.texts("a", 700))
                try await rig.published(700)
                let marks = try await rig.broker.client.send(RedisCommand("KEYS", "test:published:*")).array
                let key = try #require(marks?.first { _ in true }?.string)
                let gone = try await rig.broker.client.send(RedisCommand("DEL", key)).integer
                #expect(gone == 1)
                try await rig.write(["b"])
                try await rig.published(701)
            }
            #expect(try await rig.log() == Self.texts("a", 700) + ["b"])
        }
    }

    @Test func `an outbox keeps what waits for a time that is far away`() async throws {
        try await Rig.with { rig in
            let far = Timestamp(milliseconds: Timestamp.now().milliseconds + 30 * 86_400_000)
            try await rig.write(Self.texts("later", 1200), at: far)
            try await rig.write(Self.texts("a", 5))
            try await running(rig.records.relay) { try await rig.published(5) }
            let long = Timestamp(milliseconds: Timestamp.now().milliseconds - 2 * 86_400_000).description
            try await rig.records.database.transaction {
                _ = try $0.execute("UPDATE outbox SET published_at = $1", .text(long))
            }
            try await running(try await rig.successor().relay) {
                try await eventually("what is over goes, also behind it") {
                    try await rig.records.database.read {
                        try $0.query("SELECT 1 AS found FROM outbox WHERE deliver_at IS NULL").isEmpty
                    }
                }
            }
            #expect(try await count("outbox", in: rig.records.database) == 1200)
        }
    }
}
