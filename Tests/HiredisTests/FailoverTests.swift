import FoundationEssentials
import FreshetTesting
import Logging
import Synchronization
import Testing

@testable import Hiredis

/// One writer a key, numbers in order, through a fault; then what was acknowledged is looked for in the streams.
///
/// Primaries are cut off before they are killed: a kill alone loses nothing, because the kernel still sends what is in
/// the replication buffer.
@Suite(.serialized) struct FailoverTests {
    /// How much longer than the servers need writing may stand still: 1 s on a machine of one's own (`make failover`),
    /// more beside all other tests on two cores.
    private static let allowance: Duration =
        ProcessInfo.processInfo.environment["FRESHET_STRICT_TIMING"] == nil ? .seconds(8) : .seconds(1)

    /// What one writer knows about its stream.
    private struct Written: Sendable {
        /// Acknowledged, with the number of replicas that WAIT said have it.
        var acknowledged: [(number: Int, replicas: Int)] = []
        var ambiguous: Set<Int> = []
        var longestGap = Duration.zero
    }

    private struct Verdict: CustomStringConvertible {
        var acknowledged = 0, covered = 0, lost = 0, coveredLost = 0, doubled = 0, ambiguous = 0
        var standstill = Duration.zero
        var description: String {
            "\(acknowledged) acknowledged (\(covered) covered by WAIT), \(lost) lost (\(coveredLost) of the covered), "
                + "\(doubled) doubled, \(ambiguous) ambiguous; writing stood still for \(standstill)"
        }
    }

    /// Writes and reads while the fault takes its course, and compares.
    private func judge(
        _ url: String, keys: [String], _ fault: @escaping (RedisClient) async throws -> Void
    ) async throws -> Verdict {
        let stop = Stop()
        var configuration = try RedisConfiguration(url: url)
        configuration.connectTimeout = .seconds(1)
        let client = RedisClient(configuration)
        let readers = keys.map { _ in client.dedicated() }
        defer { for client in readers + [client] { client.close() } }
        let (written, read) = try await withThrowingTaskGroup(of: (String, Written?, Set<Int>?).self) {
            group in
            for key in keys {
                _ = try await client.send(RedisCommand("XGROUP", "CREATE", key, "g", "0", "MKSTREAM"))
                group.addTask { (key, await self.write(key, client, until: stop), nil) }
            }
            for (key, reader) in zip(keys, readers) {
                group.addTask { (key, nil, try await self.read(key, reader, until: stop)) }
            }
            do {
                try await Task.sleep(for: .seconds(1))
                try await fault(client)
                try await Task.sleep(for: .seconds(1))
            } catch {
                stop.readers.store(true, ordering: .relaxed)
                stop.writers.store(true, ordering: .relaxed)
                throw error
            }
            stop.writers.store(true, ordering: .relaxed)
            var (written, read): ([String: Written], [String: Set<Int>]) = ([:], [:])
            for try await (key, writes, reads) in group {
                if let writes { written[key] = writes }
                if let reads { read[key] = reads }
                if written.count == keys.count { stop.readers.store(true, ordering: .relaxed) }
            }
            return (written, read)
        }
        var verdict = Verdict()
        for key in keys {
            let writes = try #require(written[key])
            var held: [Int: Int] = [:]
            for entry in try await client.send(RedisCommand("XRANGE", key, "-", "+")).array
                ?? RedisReplies(joining: [])
            {
                if let number = entry.array?[1].array?[1].integer { held[number, default: 0] += 1 }
            }
            for (number, replicas) in writes.acknowledged {
                verdict.acknowledged += 1
                if replicas > 0 { verdict.covered += 1 }
                if held[number] == nil {
                    verdict.lost += 1
                    if replicas > 0 { verdict.coveredLost += 1 }
                }
            }
            verdict.ambiguous += writes.ambiguous.count
            verdict.doubled += held.values.filter { $0 > 1 }.count
            verdict.standstill = max(verdict.standstill, writes.longestGap)
            // The reader has seen all that is there; it may also have seen what was lost later.
            let unread = Set(held.keys).subtracting(read[key] ?? [])
            #expect(unread.isEmpty, "all entries of \(key) were read")
            #expect((writes.acknowledged.last?.number ?? 0) > 10)
        }
        return verdict
    }

    /// Tells writers, then readers, to end.
    private final class Stop: Sendable {
        let writers = Atomic(false)
        let readers = Atomic(false)
    }

    private func write(_ key: String, _ client: RedisClient, until stop: Stop) async -> Written {
        var written = Written()
        var last = ContinuousClock.now
        var number = 0
        while !stop.writers.load(ordering: .relaxed) && !Task.isCancelled {
            number += 1
            var pipeline = RedisPipeline()
            pipeline.append("XADD", key, "*", "n", number)
            let isCovered = number % 3 == 0
            if isCovered { pipeline.append("WAIT", 1, 100) }
            do throws(RedisError) {
                let replies = try await client.send(pipeline, timeout: .seconds(2))
                try replies[0].get()
                written.acknowledged.append((number, isCovered ? replies[1].integer ?? 0 : 0))
                written.longestGap = max(written.longestGap, .now - last)
                last = .now
            } catch {
                if error.mayHaveRun { written.ambiguous.insert(number) }
                #expect(error.isRetryable, "\(error)")
            }
            try? await Task.sleep(for: .milliseconds(2))
        }
        written.longestGap = max(written.longestGap, .now - last)
        return written
    }

    /// Reads as a consumer does, and once more from the start at the end.
    private func read(_ key: String, _ client: RedisClient, until stop: Stop) async throws -> Set<Int> {
        var seen: Set<Int> = []
        while true {
            let isLast = stop.readers.load(ordering: .relaxed)
            do throws(RedisError) {
                var read = try await client.send(
                    .xreadgroup("g", "c", [key], count: 1000, block: .milliseconds(200)),
                    timeout: .seconds(2))
                let isOver = isLast && read.isEmpty || Task.isCancelled
                if isOver {
                    // What was delivered and never arrived, because the connection broke, this consumer holds.
                    read = try await client.send(
                        .xreadgroupHeld("g", "c", [(key, after: .zero)], count: 1_000_000))
                }
                for entry in read.flatMap(\.entries) {
                    if let number = entry.field("n")?.integer { seen.insert(number) }
                }
                if isOver { return seen }
            } catch {
                if Task.isCancelled { return seen }
                #expect(error.isRetryable, "\(error)")
                try await Task.sleep(for: .milliseconds(50))
            }
        }
    }

    /// The time from now until a client of the nodes alone can write at a new primary: what the servers need.
    private func takeover(
        _ nodes: LocalRedisNodes, of candidates: [Int], _ key: String
    ) async throws -> Duration {
        let started = ContinuousClock.now
        try await eventually("another node is the primary") {
            for node in candidates
            where (try? await nodes.send(RedisCommand("XADD", key, "*", "probe", 1), to: node)) != nil {
                return true
            }
            return false
        }
        return .now - started
    }

    // MARK: - Sentinel

    @Test(
        .enabled("needs root and iptables") { await LocalRedisNodes.canCut() },
        arguments: ["cut off and killed", "cut off and healed", "frozen"])
    func `behind sentinels, writing and reading go on through a primary that is`(
        _ end: String
    ) async throws {
        try await withRedisSentinels { nodes in
            let needed = Guarded(Duration.zero)
            let verdict = try await judge(nodes.url, keys: ["a", "b"]) { _ in
                if end == "frozen" { nodes.pause(0) } else { try await nodes.cut(0) }
                if end == "cut off and killed" {
                    try await Task.sleep(for: .seconds(1))
                    await nodes.kill(0)
                }
                // Clients can know no sooner than a sentinel names another primary, about a second after its promotion.
                let started = ContinuousClock.now
                try await eventually("a sentinel names another") {
                    await nodes.namedPrimaries().contains { $0 != 0 }
                }
                _ = try await takeover(nodes, of: [1, 2], "probe")
                let time = .now - started
                needed.withLock { $0 = time }
                if end == "cut off and healed" {
                    try await Task.sleep(for: .seconds(1))
                    try await nodes.heal()
                    try await eventually("the old primary is a replica", within: .seconds(60)) {
                        (try? await nodes.send(RedisCommand("ROLE"), to: 0))?.array?[0].string == "slave"
                    }
                }
            }
            print("sentinel, \(end): \(verdict); the servers needed \(needed.withLock { $0 })")
            #expect(verdict.coveredLost == 0 && verdict.doubled == 0 && verdict.covered > 10)
            #expect(verdict.standstill <= needed.withLock { $0 } + Self.allowance)
        }
    }

    // MARK: - Cluster

    @Test(
        .enabled("needs root and iptables") { await LocalRedisNodes.canCut() },
        arguments: ["cut off and killed", "cut off and healed", "frozen"])
    func `in a cluster, writing and reading go on through a primary that is`(_ end: String)
        async throws
    {
        try await withRedisCluster { nodes in
            // A key of each primary's; of the frozen one's alone, so that no other node's word tells the client.
            let keys = (0..<(end == "frozen" ? 1 : 3)).compactMap { node in
                (0...).lazy.map { "k\($0)" }.first { nodes.firstPrimary(of: $0) == node }
            }
            let needed = Guarded(Duration.zero)
            let verdict = try await judge(nodes.url, keys: keys) { _ in
                if end == "frozen" { nodes.pause(0) } else { try await nodes.cut(0) }
                if end == "cut off and killed" {
                    try await Task.sleep(for: .seconds(1))
                    await nodes.kill(0)
                }
                let time = try await takeover(nodes, of: [3], "{\(keys[0])}probe")
                needed.withLock { $0 = time }
                if end == "cut off and healed" {
                    try await Task.sleep(for: .seconds(1))
                    try await nodes.heal()
                    try await eventually("the old primary is a replica", within: .seconds(60)) {
                        try await !nodes.isPrimary(0)
                    }
                }
            }
            print("cluster, \(end): \(verdict); the servers needed \(needed.withLock { $0 })")
            #expect(verdict.coveredLost == 0 && verdict.doubled == 0 && verdict.covered > 10)
            #expect(verdict.standstill <= needed.withLock { $0 } + Self.allowance)
        }
    }

    @Test func `in a cluster, a slot can move while it is written and read`() async throws {
        try await withRedisCluster { nodes in
            let keys = ["{moving}a", "{moving}b"]
            let (slot, source) = (HashSlot.of("moving"), nodes.firstPrimary(of: "moving"))
            let target = (source + 1) % 3
            let verdict = try await judge(nodes.url, keys: keys) { client in
                try await nodes.beginMove(ofSlot: slot, from: source, to: target)
                // One key is on each side now: ASK for the one, TRYAGAIN for a command with both.
                try await nodes.moveKeys(ofSlot: slot, from: source, to: target, count: 1)
                let both = RedisCommand("EXISTS", "{moving}a", "{moving}b", "{moving}c")
                async let waiting = client.send(both, timeout: .seconds(20))
                try await Task.sleep(for: .milliseconds(300))
                while try await nodes.moveKeys(ofSlot: slot, from: source, to: target) > 0 {}
                try await nodes.endMove(ofSlot: slot, to: target)
                #expect(try await waiting.integer == 2)
            }
            print("slot moved: \(verdict)")
            #expect(verdict.lost == 0 && verdict.doubled == 0 && verdict.ambiguous == 0)
            #expect(verdict.standstill <= Self.allowance)
        }
    }

    // MARK: - Commands

    @Test func `a cluster's pipelines, scripts and transactions find their nodes`() async throws {
        try await withRedisCluster { nodes in
            let client = RedisClient(try RedisConfiguration(url: nodes.url))
            defer { client.close() }
            try await client.connect()
            for partition in 0..<8 {
                let capabilities = try await client.capabilities(keyPrefix: "{orders:\(partition)}")
                #expect(capabilities.has(.xautoclaim) && capabilities.version != nil)
            }
            var pipeline = RedisPipeline()
            for number in 0..<100 {
                pipeline.append("SET", "key\(number)", "v\(number)")
                pipeline.append("PING")
            }
            for number in 0..<100 { pipeline.append("GET", "key\(number)") }
            pipeline.append("LPUSH", "key7", "x")
            let replies = try await client.send(pipeline)
            #expect(replies.count == 301)
            #expect((0..<100).allSatisfy { replies[2 * $0 + 1].string == "PONG" })
            #expect((0..<100).allSatisfy { replies[200 + $0].string == "v\($0)" })
            #expect(replies[300].error?.serverCode == .wrongType)
            let script = RedisScript("return {KEYS[1], redis.call('GET', KEYS[1])}")
            for round in 0..<2 {
                if round == 1 {
                    for node in 0..<3 { try await nodes.send(RedisCommand("SCRIPT", "FLUSH"), to: node) }
                }
                for number in 0..<30 {
                    let reply = try await script.run(on: client, keys: ["key\(number)"])
                    #expect(reply.array?[1].string == "v\(number)")
                }
            }
            var transaction = RedisPipeline()
            transaction.append("MULTI")
            transaction.append("INCR", "{t}a")
            transaction.append("INCR", "{t}b")
            transaction.append("EXEC")
            #expect(try await client.send(transaction)[3].array?.map(\.integer) == [1, 1])
            let crossing = await #expect(throws: RedisError.self) {
                try await client.send(RedisCommand("MSET", "a", 1, "b", 2))
            }
            #expect(crossing?.serverCode == .crossSlot && crossing?.remedy == RedisError.Remedy.none)
        }
    }

    /// How many have been answered.
}
