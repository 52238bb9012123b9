import Freshet
import FreshetTesting
import Hiredis
import Synchronization
import Testing

@Suite struct DeadLetterTests {
    private static let topic = Topic("orders", partitions: 2)
    private static func keys(_ partition: Int) -> PartitionKeys {
        PartitionKeys(namespace: "test", topic: "orders", partition: partition)
    }

    /// Puts dead letters with these ids on a partition.
    private static func bury(_ rig: Rig, _ numbers: some Sequence<Int>, _ partition: Int = 0) async throws {
        var pipeline = RedisPipeline()
        for number in numbers {
            pipeline.append(
                "XADD", keys(partition).dead("payment"), "\(number)-0", "id", "e\(number)", "source", "till",
                "type", "order.placed", "data", [0xff, 0x00] as [UInt8], "freshetoriginalid", "7-\(number)",
                "freshetattempt", "5", "freshetreason", "no answer", "freshetfailedat",
                "2026-01-02T03:04:05.000Z")
        }
        for reply in try await rig.client.send(pipeline) { try reply.get() }
    }

    private static func list(_ rig: Rig) async throws -> [DeadLetter] {
        var letters: [DeadLetter] = []
        for try await letter in rig.broker.deadLetters(of: "payment", topic: topic) { letters.append(letter) }
        return letters
    }

    private static func length(_ rig: Rig, _ key: String) async throws -> Int {
        try await rig.redis("XLEN", key).integer ?? -1
    }

    @Test func `dead letters are listed with their reason, partition after partition`() async throws {
        try await Rig.with { rig in
            try await Self.bury(rig, 1...2, 1)
            try await Self.bury(rig, [9], 0)
            try await rig.redis("XADD", Self.keys(1).dead("payment"), "3-0", "hello", "world")
            let letters = try await Self.list(rig)
            #expect(letters.map(\.id) == [id(9), id(1), id(2), id(3)])
            #expect(letters.map(\.partition) == [0, 1, 1, 1])
            #expect(letters[1].eventID == "e1" && letters[1].source == "till")
            #expect(letters[1].type == "order.placed" && letters[1].position == id(7, 1))
            #expect(letters[1].attempts == 5 && letters[1].retries == 0)
            #expect(letters[1].reason == "no answer" && letters[1].failedAt == "2026-01-02T03:04:05.000Z")
            #expect(letters[3].eventID.isEmpty && letters[3].position == nil)
            #expect(try await rig.broker.deadLetterCount(of: "payment", topic: Self.topic) == 4)
            let same = try await rig.broker.deadLetters(at: id(1), of: "payment", topic: Self.topic)
            #expect(same.map(\.partition) == [1])
        }
    }

    @Test func `a retried letter keeps its bytes, loses its failure and counts its retries`() async throws {
        try await Rig.with { rig in
            try await Self.bury(rig, 1...3)
            let one = try await Self.list(rig).filter { $0.id == id(2) }
            let broker = rig.broker
            #expect(try await broker.retryDeadLetters(.these(one), of: "payment", topic: Self.topic) == 1)
            #expect(try await broker.retryDeadLetters(.these(one), of: "payment", topic: Self.topic) == 0)
            #expect(try await Self.list(rig).map(\.id) == [id(1), id(3)])
            for try await entry in broker.entries(of: Self.keys(0).redelivery("payment")) {
                let raw: [UInt8] = [0xff, 0x00]
                let texts = [
                    "id", "e2", "source", "till", "type", "order.placed", "data", "-", "freshetoriginalid",
                    "7-2", "freshetretries", "1",
                ]
                let expected = texts.map { $0 == "-" ? raw : Array($0.utf8) }
                #expect(entry.fields.map { $0.bytes?.array ?? [] } == expected)
                try await rig.redis(
                    "XADD", Self.keys(0).dead("payment"), "8-0", "id", "e2", "freshetretries", "1")
            }
            #expect(try await Self.list(rig).last?.retries == 1)
            _ = try await broker.retryDeadLetters(.all, of: "payment", topic: Self.topic)
            var retries: [String?] = []
            for try await entry in broker.entries(of: Self.keys(0).redelivery("payment")) {
                retries.append(entry.field("freshetretries")?.string)
            }
            #expect(retries == ["1", "1", "1", "2"])
        }
    }

    @Test func `all are those that there were, in order, batch after batch`() async throws {
        try await Rig.with { rig in
            try await Self.bury(rig, 1...250)
            try await Self.bury(rig, 1...30, 1)
            var counts: [Int] = []
            let count = try await rig.broker.retryDeadLetters(.all, of: "payment", topic: Self.topic) {
                count in
                counts.append(count)
                return true
            }
            #expect(count == 280)
            #expect(counts.last == 280 && counts.count >= 4)
            #expect(try await Self.list(rig).isEmpty)
            var moved: [StreamID?] = []
            for try await entry in rig.broker.entries(of: Self.keys(0).redelivery("payment")) {
                moved.append(entry.originalID)
            }
            #expect(moved == (1...250).map { id(7, $0) })
        }
    }

    @Test func `letters that come meanwhile are neither lost nor waited for`() async throws {
        try await Rig.with { rig in
            try await Self.bury(rig, 1...150)
            // Another process that goes on burying, as fast as it can.
            let other = Broker(RedisClient(try RedisConfiguration(url: rig.server.url)), namespace: "test")
            defer { other.client.close() }
            try await withThrowingTaskGroup(of: Void.self) { tasks in
                tasks.addTask {
                    for number in 1000...1400 {
                        try await Self.bury(Rig(server: rig.server, broker: other), [number])
                    }
                }
                let first = try await rig.broker.retryDeadLetters(.all, of: "payment", topic: Self.topic)
                #expect((150...551).contains(first))
                try await tasks.waitForAll()
            }
            let left = try await Self.list(rig).count
            let moved = try await Self.length(rig, Self.keys(0).redelivery("payment"))
            #expect(left + moved == 551)
        }
    }

    @Test func `discarding deletes and redelivers nothing; false ends it after a batch`() async throws {
        try await Rig.with { rig in
            try await Self.bury(rig, 1...250)
            let some = try await rig.broker.discardDeadLetters(.all, of: "payment", topic: Self.topic) { _ in
                false
            }
            #expect(some == 100)
            #expect(try await Self.list(rig).first?.id == id(101))
            let letters = try await Self.list(rig)
            let rest = try await rig.broker.discardDeadLetters(
                .these(letters), of: "payment", topic: Self.topic)
            #expect(rest == 150)
            #expect(try await Self.length(rig, Self.keys(0).redelivery("payment")) == 0)
        }
    }

    @Test func `a retried letter is delivered again with all its attempts`() async throws {
        struct Placed: EventPayload {
            static let eventType: EventType = "order.placed"
        }
        struct Failure: Error {}
        try await Rig.with { rig in
            let seen = Mutex<[(attempt: Int, position: StreamID)]>([])
            let works = Mutex(false)
            var options = SubscriptionOptions()
            options.retry.maximumAttempts = 2
            options.retry.base = .milliseconds(1)
            let subscription = Subscription(
                to: Self.topic, group: "payment", on: rig.broker, options: options
            ) {
                On(Placed.self) { _, delivery in
                    seen.withLock { $0.append((delivery.attempt, delivery.position)) }
                    if !works.withLock({ $0 }) { throw Failure() }
                }
            }
            try await running(subscription) {
                let publisher = Publisher(to: Self.topic, on: rig.broker)
                let position = try await publisher.publish(Event(Placed(), source: "s"))
                try await eventually("it is given up") { subscription.counters[.dead] == 1 }
                works.withLock { $0 = true }
                let count = try await rig.broker.retryDeadLetters(.all, of: "payment", topic: Self.topic)
                #expect(count == 1)
                try await eventually("it is handled") { subscription.counters[.acknowledged] == 1 }
                #expect(seen.withLock { $0.map(\.attempt) } == [1, 2, 1])
                #expect(seen.withLock { $0.allSatisfy { $0.position == position } })
            }
        }
    }
}
