import Freshet
import FreshetTesting
import Hiredis
import Testing

/// Publishing on real servers, where connections break and replicas are slow.
@Suite struct PublishingTests {
    @Test(arguments: [nil, 1_000_000])
    func `connections that break in the middle add nothing twice and lose nothing`(limit: Int?) async throws {
        try await Rig.with { rig in
            let topic = Topic("orders", partitions: 3)
            try await rig.broker.declare(TopicDeclaration(topic, limit: limit))
            let cutter = try ReplyCutter(at: "\(rig.server.folder)/cutter.sock", to: rig.server.socketPath)
            defer { cutter.stop() }
            let client = RedisClient(RedisConfiguration(address: .unix(path: cutter.path)))
            defer { client.close() }
            var options = PublisherOptions()
            options.patience = .seconds(60)
            let publisher = Publisher(to: topic, on: Broker(client, namespace: "test"), options: options)
            let published = Record<Int>()
            let cutting = Task {
                var cuts = 0
                var seen = 0
                while !Task.isCancelled {
                    try? await Task.sleep(for: .milliseconds(Int.random(in: 5...30)))
                    // On a slow machine as well something is published between two cuts.
                    let now = published.count
                    guard now > seen else { continue }
                    seen = now
                    cutter.cut(after: Int.random(in: 0...600))
                    cuts += 1
                }
                return cuts
            }
            let ids = try await withThrowingTaskGroup(of: [StreamID].self) { tasks in
                for task in 0..<4 {
                    tasks.addTask {
                        var ids: [StreamID] = []
                        for batch in 0..<60 {
                            let events = try (0..<20).map { number in
                                let name = "\(task)-\(batch)-\(number)"
                                return try Event(Placed(orderId: name), source: "till", id: name, key: name)
                            }
                            for outcome in try await publisher.publish(events) {
                                ids.append(try outcome.get())
                            }
                            published.add(batch)
                        }
                        return ids
                    }
                }
                return try await tasks.reduce(into: []) { $0 += $1 }
            }
            cutting.cancel()
            #expect(await cutting.value > 3)
            var names: [String] = []
            for partition in 0..<3 {
                for entry in try await rig.client.send(.xrange(rig.broker.keys("orders", partition).events)) {
                    names.append(entry.field("id")?.string ?? "")
                }
            }
            #expect([ids.count, Set(names).count, names.count] == [4800, 4800, 4800])
        }
    }

    @Test func `what a broken connection still brings later is not executed`() async throws {
        try await Rig.with { rig in
            let cutter = try ReplyCutter(at: "\(rig.server.folder)/cutter.sock", to: rig.server.socketPath)
            defer { cutter.stop() }
            let client = RedisClient(RedisConfiguration(address: .unix(path: cutter.path)))
            defer { client.close() }
            let publisher = Publisher(to: .orders, on: Broker(client, namespace: "test"))
            try await publisher.publish(Event(Placed(orderId: "1"), source: "till", id: "1"))
            cutter.withholdNext()
            // It was sent, did not arrive, and is published on another connection.
            try await publisher.publish(Event(Placed(orderId: "2"), source: "till", id: "2"))
            cutter.deliver()
            try await eventually("what was withheld has come") { cutter.count == 1 }
            #expect(try await rig.length(rig.keys.events) == 2)
        }
    }

    @Test func `without patience a broken connection is the caller's`() async throws {
        try await Rig.with { rig in
            let cutter = try ReplyCutter(at: "\(rig.server.folder)/cutter.sock", to: rig.server.socketPath)
            defer { cutter.stop() }
            let client = RedisClient(RedisConfiguration(address: .unix(path: cutter.path)))
            defer { client.close() }
            var options = PublisherOptions()
            options.patience = .zero
            let publisher = Publisher(to: .orders, on: Broker(client, namespace: "test"), options: options)
            try await publisher.publish(Event(Placed(orderId: "1"), source: "till"))
            cutter.cut(after: 3)
            let error = await #expect(throws: FreshetError.self) {
                try await publisher.publish(Event(Placed(orderId: "2"), source: "till"))
            }
            #expect(error?.mayHaveRun == true)
            #expect(try await rig.length(rig.keys.events) == 2)
        }
    }

    @Test func `replicas that do not confirm are an error, and the event stands all the same`() async throws {
        try await Rig.with(LocalRedisServer(port: freePort())) { rig in
            try await rig.broker.declare(
                TopicDeclaration(.orders, durability: .replicated(1, within: .milliseconds(200))))
            let publisher = Publisher(to: .orders, on: rig.broker)
            let alone = try await publisher.publish([Event(Placed(orderId: "1"), source: "till")])[0]
            #expect(throws: FreshetError.self) { try alone.get() }
            if case .failure(let error) = alone {
                #expect(error.code == .notDurable && error.mayHaveRun)
                #expect(error.message.contains("0 of 1 replicas"))
            }
            #expect(try await rig.length(rig.keys.events) == 1)
            try await withRedisServer(LocalRedisServer()) { replica in
                let other = RedisClient(try RedisConfiguration(url: replica.url))
                defer { other.close() }
                try await other.send(RedisCommand("REPLICAOF", "127.0.0.1", rig.server.port ?? 0))
                try await eventually("the replica follows") {
                    (try? await publisher.publish(Event(Placed(orderId: "2"), source: "till"))) != nil
                }
                // Whoever asks for less waits for less.
                var options = PublisherOptions()
                options.durability = .memory
                let brisk = Publisher(to: .orders, on: rig.broker, options: options)
                try await other.send(RedisCommand("REPLICAOF", "NO", "ONE"))
                try await brisk.publish(Event(Placed(orderId: "3"), source: "till"))
            }
        }
    }

    @Test func `what is to be on disk is, or is refused before it is added`() async throws {
        try await Rig.with { rig in
            var options = PublisherOptions()
            options.durability = .fsynced(within: .seconds(5))
            let publisher = Publisher(to: .orders, on: rig.broker, options: options)
            if try await rig.client.capabilities(keyPrefix: rig.keys.events).has(.waitaof) {
                try await publisher.publish(Event(Placed(orderId: "1"), source: "till"))
                try await rig.client.send(RedisCommand("CONFIG", "SET", "appendonly", "no"))
                let outcome = try await publisher.publish([Event(Placed(orderId: "2"), source: "till")])[0]
                guard case .failure(let error) = outcome else { throw Unexpected() }
                #expect(error.code == .notDurable && error.message.contains("appendonly"))
            } else {
                let error = await #expect(throws: FreshetError.self) {
                    try await publisher.publish(Event(Placed(orderId: "1"), source: "till"))
                }
                #expect(error?.code == .refused)
                #expect(try await rig.length(rig.keys.events) == 0)
            }
        }
    }

    private struct Unexpected: Error {}

    @Test func `a program that takes the topic for another is refused before it adds anything`() async throws
    {
        try await Rig.with { rig in
            try await rig.broker.declare(TopicDeclaration(Topic("orders", partitions: 4)))
            let error = await #expect(throws: FreshetError.self) {
                try await Publisher(to: .orders, on: rig.broker).publish(
                    Event(Placed(orderId: "1"), source: "till"))
            }
            #expect(error?.code == .refused && error?.message.contains("4 partitions") == true)
            #expect(try await rig.length(rig.keys.events) == 0)
        }
    }
}
