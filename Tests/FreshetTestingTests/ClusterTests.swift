import FoundationEssentials
import FreshetTesting
import Hiredis
import Testing

@Suite(.serialized) struct ClusterTests {
    @Test func `a cluster that stops leaves no process and no file`() async throws {
        let cluster = LocalRedisCluster()
        let started = try await time { try await cluster.start() }
        let ids = cluster.addresses.indices.compactMap { cluster.processID(of: $0) }
        #expect(Set(ids).count == 6 && Set(cluster.addresses).count == 6)
        #expect(await cluster.currentPrimaries() == [0, 1, 2])
        for node in 0..<3 {
            #expect(await cluster.replica(of: node) == node + 3)
            #expect(await cluster.primary(ofSlot: cluster.slots(of: node).lowerBound) == node)
            #expect(await cluster.primary(ofSlot: cluster.slots(of: node).upperBound - 1) == node)
        }
        let ended = await time { await cluster.stop() }
        print("cluster: started in \(started), stopped in \(ended)")
        #expect(!ids.contains(where: isAlive))
        #expect(!FileManager.default.fileExists(atPath: cluster.folder))
        #expect(cluster.processID(of: 0) == nil)
    }

    @Test func `two clusters run side by side`() async throws {
        try await withRedisCluster(LocalRedisCluster(primaries: 1)) { one in
            try await withRedisCluster(LocalRedisCluster(primaries: 1)) { other in
                try await one.send(RedisCommand("SET", "k", "one"), to: 0)
                #expect(try await other.send(RedisCommand("GET", "k"), to: 0).isNull)
                #expect(try await other.state(of: 0)["cluster_known_nodes"] == "2")
            }
        }
    }

    @Test func `a server that cannot start says why, at once`() async throws {
        let cluster = LocalRedisCluster(options: ["--no-such-option", "1"])
        let taken = await time {
            let error = await #expect(throws: LocalRedisNodes.StartError.self) {
                try await withRedisCluster(cluster) { _ in }
            }
            #expect(error?.description.contains("no-such-option") == true)
        }
        #expect(taken < .seconds(10))
        #expect(!FileManager.default.fileExists(atPath: cluster.folder))
    }

    @Test(.enabled("needs root and iptables") { await LocalRedisNodes.canCut() })
    func
        `a primary that is cut off answers clients while its replica takes over, and follows it once healed`()
        async throws
    {
        try await withRedisCluster { cluster in
            let slot = cluster.slots(of: 0).lowerBound
            try await cluster.cut(0)
            #expect(try await rules(of: cluster).count == 10)
            let failover = try await time {
                try await eventually("the replica is a primary") {
                    // It asks no other node: what it answers, it answers while it is cut off.
                    #expect(try await cluster.send(RedisCommand("PING"), to: 0).string == "PONG")
                    return try await cluster.isPrimary(3)
                }
            }
            #expect(try await cluster.isPrimary(0), "it does not know")
            #expect(
                await cluster.primary(ofSlot: slot) == 3, "of two that claim a slot, the later one has it")
            #expect(await cluster.currentPrimaries() == [0, 1, 2, 3])
            let comeback = try await time {
                try await cluster.heal()
                #expect(try await rules(of: cluster).isEmpty)
                try await eventually("the old primary follows") { try await !cluster.isPrimary(0) }
            }
            try await cluster.awaitHealth()
            #expect(await cluster.currentPrimaries() == [1, 2, 3])
            #expect(await cluster.replica(of: 3) == 0)
            print("cluster, cut off: failover in \(failover), a replica \(comeback) after the healing began")
        }
    }

    @Test func `a killed primary is replaced, and follows when it starts again`() async throws {
        try await withRedisCluster { cluster in
            let id = try #require(cluster.processID(of: 1))
            #expect(throws: LocalRedisNodes.StartError.self) { try cluster.restart(1) }
            await cluster.kill(1)
            #expect(!isAlive(id) && !cluster.isRunning(1))
            let failover = try await time {
                try await eventually("the replica is a primary") { try await cluster.isPrimary(4) }
            }
            print("cluster, killed: failover in \(failover)")
            try cluster.restart(1)
            try await eventually("it follows") { await cluster.replica(of: 4) == 1 }
            try await cluster.awaitHealth()
        }
    }

    @Test func `a frozen node is silent until it goes on, and a stop ends it`() async throws {
        let cluster = LocalRedisCluster(primaries: 1, nodeTimeout: .milliseconds(15_500))
        let ids = try await withRedisCluster(cluster) { cluster in
            let limit = try await cluster.send(RedisCommand("CONFIG", "GET", "cluster-node-timeout"), to: 0)
            #expect(limit.array?[1].string == "15500")
            cluster.pause(0)
            await #expect(throws: RedisError.self) { try await cluster.send(RedisCommand("PING"), to: 0) }
            cluster.resume(0)
            try await eventually("it answers") {
                (try? await cluster.send(RedisCommand("PING"), to: 0)) != nil
            }
            cluster.pause(1)
            return (0..<2).compactMap { cluster.processID(of: $0) }
        }
        #expect(ids.count == 2 && !ids.contains(where: isAlive))
    }

    @Test func `a slot moves in steps that can be looked at`() async throws {
        try await withRedisCluster { cluster in
            let slot = HashSlot.of("moving")
            let source = try #require(await cluster.primary(ofSlot: slot))
            let target = (source + 1) % 3
            for key in ["{moving}a", "{moving}b"] {
                try await cluster.send(RedisCommand("SET", key, key), to: source)
            }
            try await cluster.beginMove(ofSlot: slot, from: source, to: target)
            #expect(await cluster.primary(ofSlot: slot) == source)
            #expect(try await cluster.moveKeys(ofSlot: slot, from: source, to: target, count: 1) == 1)

            // Half way: one key is here, the other is asked for there.
            var answers: [String] = []
            for key in ["{moving}a", "{moving}b"] {
                do {
                    answers.append(try await cluster.send(RedisCommand("GET", key), to: source).string ?? "")
                } catch let error as RedisError {
                    answers.append(error.message)
                }
            }
            #expect(answers.count { $0.hasPrefix("{moving}") } == 1)
            #expect(answers.count { $0.contains("ASK \(slot) \(cluster.addresses[target])") } == 1)
            await #expect(throws: LocalRedisCluster.MoveError.self) {
                try await cluster.endMove(ofSlot: slot, to: target)
            }
            #expect(await cluster.primary(ofSlot: slot) == source, "a refused end changes nothing")

            #expect(try await cluster.moveKeys(ofSlot: slot, from: source, to: target) == 1)
            #expect(try await cluster.moveKeys(ofSlot: slot, from: source, to: target) == 0)
            try await cluster.endMove(ofSlot: slot, to: target)
            #expect(await cluster.primary(ofSlot: slot) == target)
            for key in ["{moving}a", "{moving}b"] {
                #expect(try await cluster.send(RedisCommand("GET", key), to: target).string == key)
            }
            let moved = await #expect(throws: RedisError.self) {
                try await cluster.send(RedisCommand("GET", "{moving}a"), to: source)
            }
            #expect(moved?.message.contains("MOVED \(slot) \(cluster.addresses[target])") == true)

            try await cluster.moveSlot(slot, from: target, to: source)
            #expect(await cluster.primary(ofSlot: slot) == source)
            #expect(
                try await cluster.send(RedisCommand("GET", "{moving}b"), to: source).string == "{moving}b")
        }
    }
}
