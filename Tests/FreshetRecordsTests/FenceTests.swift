import Freshet
import FreshetRecords
import FreshetTesting
import Hiredis
import Synchronization
import Testing

/// Effects of an owner that has lost its partition without knowing.
@Suite struct FenceTests {
    @Test(arguments: Store.allCases) func `epochs rise with each owner, each partition for itself`(
        store: Store
    ) async throws {
        try await Scratch.with(store) { scratch in
            let database = try scratch.open()
            let records = try await ServiceRecords(
                database, source: "test", migrations: Scratch.tables, on: nowhere())
            func raise(_ partition: Int, _ owner: ConsumerName) async throws -> Int {
                try await records.raise(topic: "notes", group: "a", partition: partition, owner: owner)
            }
            #expect(try await raise(0, "one") == 1)
            #expect(try await raise(0, "two") == 2)
            #expect(try await raise(1, "one") == 1)
            #expect(try await raise(0, "two") == 3)
        }
    }

    @Test(arguments: Store.allCases)
    func `an owner of an earlier epoch changes nothing, the present one does`(store: Store) async throws {
        try await Scratch.with(store) { scratch in
            let database = try scratch.open()
            let records = try await ServiceRecords(
                database, source: "test", migrations: Scratch.tables, on: nowhere())
            func handle(_ id: String, _ claim: PartitionClaim) async throws {
                let delivery = Delivery(
                    event: try Event(Noted(text: id), source: "test", id: id), group: "a", topic: "notes",
                    claim: claim)
                try await records.handle(delivery) {
                    try $0.execute("INSERT INTO notes VALUES (1, $1)", .text(id))
                }
            }
            let first = PartitionClaim(
                owner: "one",
                epoch: try await records.raise(topic: "notes", group: "a", partition: 0, owner: "one"))
            try await handle("a", first)
            let second = PartitionClaim(
                owner: "two",
                epoch: try await records.raise(topic: "notes", group: "a", partition: 0, owner: "two"))
            let error = await #expect(throws: StaleOwner.self) { try await handle("b", first) }
            #expect(error?.description.contains("to 'two'") == true)
            #expect(try await count("notes", in: database) == 1)
            #expect(try await count("inbox", in: database) == 1)
            try await handle("b", second)
            #expect(try await count("notes", in: database) == 2)
        }
    }

    @Test(arguments: Store.allCases)
    func `a subscription whose partition was taken in the database gives it up, and takes it anew`(
        store: Store
    )
        async throws
    {
        try await withRedisServer { server in
            try await Scratch.with(store) { scratch in
                let database = try scratch.open()
                let client = RedisClient(try RedisConfiguration(url: server.url))
                defer { client.close() }
                let broker = Broker(client, namespace: "test")
                let records = try await ServiceRecords(
                    database, source: "test", migrations: Scratch.tables, on: broker)
                let epochs = Mutex<[Int]>([])
                var options = SubscriptionOptions()
                options.ordering = .perKey
                options.lease = .seconds(1)
                options.fence = records
                let subscription = Subscription(to: .notes, group: "a", on: broker, options: options) {
                    On(Noted.self) { note, delivery in
                        try await records.handle(delivery) {
                            try $0.execute("INSERT INTO notes VALUES (1, $1)", .text(note.text))
                        }
                        epochs.withLock { $0.append(delivery.claim?.epoch ?? 0) }
                    }
                }
                let publisher = Publisher(to: .notes, on: broker)
                try await running(subscription) {
                    try await publisher.publish(Event(Noted(text: "a"), source: "test", key: "k"))
                    try await eventually("handled") { epochs.withLock { $0 } == [1] }
                    // As after a failover that gave the same partition to two.
                    _ = try await records.raise(topic: "notes", group: "a", partition: 0, owner: "other")
                    try await publisher.publish(Event(Noted(text: "b"), source: "test", key: "k"))
                    try await eventually("handled under a new epoch") { epochs.withLock { $0 } == [1, 3] }
                }
                #expect(try await count("notes", in: database) == 2)
                #expect(subscription.counters[.scheduled] == 0, "no attempt was used")
            }
        }
    }
}
