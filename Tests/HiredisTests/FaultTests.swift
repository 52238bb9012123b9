import FoundationEssentials
import FreshetTesting
import Glibc
import Synchronization
import Testing

@testable import Hiredis

@Suite struct FaultTests {
    /// How soon a sender learns what became of its command: within 1 s on a machine of one's own (`make failover`); more
    /// beside all other tests on two cores, yet less than the command timeout.
    private static let promptly: Duration =
        ProcessInfo.processInfo.environment["FRESHET_STRICT_TIMING"] == nil ? .seconds(8) : .seconds(1)

    /// Counts of one task's INCRs on a key of its own.
    private struct Tally: Sendable {
        var done = 0
        var ambiguous = 0
        var ended = ContinuousClock.now
    }

    @Test func `each of 1,000 senders learns its own outcome within a second of the server's death`()
        async throws
    {
        // By TCP: a Unix socket's buffer is full after some 280 small writes, and what is still here when the server dies
        // waits for the next one.
        let server = LocalRedisServer(
            port: freePort(), appendOnly: true, options: ["--appendfsync", "always"])
        try await withRedisServer(server) { server in
            let client = RedisClient(try RedisConfiguration(url: server.tcpURL))
            defer { client.close() }
            let killed = Guarded<ContinuousClock.Instant?>(nil)
            let tallies = try await withThrowingTaskGroup(of: (Int, Tally).self) { group in
                for number in 0..<1000 {
                    group.addTask {
                        var tally = Tally()
                        do throws(RedisError) {
                            while true {
                                try await client.send(
                                    RedisCommand("INCR", "n\(number)"), timeout: .seconds(20))
                                tally.done += 1
                            }
                        } catch {
                            #expect(
                                error.code == .connectionLost && error.mayHaveRun
                                    && error.remedy == .mayHaveRun)
                            tally.ambiguous += 1
                        }
                        tally.ended = .now
                        return (number, tally)
                    }
                }
                try await Task.sleep(for: .milliseconds(Int.random(in: 200...600)))
                // Frozen first, so that every sender has a command in flight when the server dies.
                server.pause()
                try await eventually("every sender's command is in flight") {
                    let now = await client.inFlight
                    return now.commands == 1000 && now.unsent == 0
                }
                killed.withLock { $0 = .now }
                await server.kill()
                return try await group.reduce(into: [:]) { $0[$1.0] = $1.1 }
            }
            let death = try #require(killed.withLock { $0 })
            let slowest = try #require(tallies.values.map { $0.ended - death }.max())
            #expect(slowest < Self.promptly, "the last sender learned after \(slowest)")
            try await server.start()
            var pipeline = RedisPipeline()
            for number in 0..<1000 { pipeline.append("GET", "n\(number)") }
            var surplus = 0
            for (number, reply) in try await client.send(pipeline).enumerated() {
                let held = reply.integer ?? 0
                let tally = try #require(tallies[number])
                #expect(held >= tally.done && held <= tally.done + tally.ambiguous)
                surplus += held - tally.done
            }
            let done = tallies.values.reduce(0) { $0 + $1.done }
            print(
                "\(done) done, 1000 ambiguous, \(surplus) of them had run; the last sender learned after \(slowest)"
            )
        }
    }

    @Test func `a frozen server's late replies go to nobody`() async throws {
        try await withServer { server, client in
            try await client.connect()
            server.pause()
            let started = ContinuousClock.now
            await withTaskGroup(of: Void.self) { group in
                for number in 0..<200 {
                    group.addTask {
                        let error = await #expect(throws: RedisError.self) {
                            try await client.send(
                                RedisCommand("ECHO", "late\(number)"), timeout: .milliseconds(300))
                        }
                        #expect(error?.code == .timedOut && error?.mayHaveRun == true)
                    }
                }
            }
            let waited = ContinuousClock.now - started
            #expect(waited >= .milliseconds(300) && waited < Self.promptly + .milliseconds(300), "\(waited)")
            server.resume()
            for number in 0..<200 {
                #expect(
                    try await client.send(RedisCommand("ECHO", "next\(number)")).string == "next\(number)")
            }
        }
    }

    @Test func `a cancelled task returns at once and its reply goes to nobody`() async throws {
        try await withServer { server, client in
            try await client.connect()
            server.pause()
            let tasks = (0..<100).map { number in
                Task { try await client.send(RedisCommand("ECHO", "c\(number)"), timeout: .seconds(20)) }
            }
            try await eventually("all are in flight") { await client.inFlight.commands == 100 }
            let started = ContinuousClock.now
            for task in tasks { task.cancel() }
            for task in tasks {
                let error = await #expect(throws: RedisError.self) { try await task.value }
                #expect(error?.code == .cancelled && error?.mayHaveRun == true)
            }
            #expect(ContinuousClock.now - started < .seconds(5))
            server.resume()
            for number in 0..<100 {
                #expect(try await client.send(RedisCommand("ECHO", "n\(number)")).string == "n\(number)")
            }
        }
    }

    @Test func `a command that is cancelled before it leaves either did not run or says that it may have`()
        async throws
    {
        try await withServer { _, client in
            try await client.connect()
            var (done, ambiguous, not) = (0, 0, 0)
            for round in 0..<500 {
                // On the loop, so that the cancellation comes in the turn of the command or in the next.
                let task = Task(executorPreference: client.loop) {
                    try await client.send(RedisCommand("INCR", "n"))
                }
                if round % 2 == 0 {
                    await Task(executorPreference: client.loop) { task.cancel() }.value
                } else {
                    task.cancel()
                }
                do {
                    _ = try await task.value
                    done += 1
                } catch let error as RedisError {
                    if error.mayHaveRun { ambiguous += 1 } else { not += 1 }
                }
            }
            let held = try await client.send(RedisCommand("GET", "n")).integer ?? 0
            print("\(done) done, \(ambiguous) ambiguous, \(not) not sent; the server holds \(held)")
            #expect(held >= done && held <= done + ambiguous)
        }
    }

    @Test func `senders beyond the limits wait, and are served in order`() async throws {
        try await withRedisServer { server in
            var configuration = try RedisConfiguration(url: server.url)
            configuration.maxCommandsInFlight = 100
            configuration.maxBytesInFlight = 64 * 1024
            let client = RedisClient(configuration)
            defer { client.close() }
            try await client.connect()
            server.pause()
            let payload = [UInt8](repeating: 7, count: 4096)
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<1000 {
                    group.addTask { try await client.send(RedisCommand("RPUSH", "l", payload)) }
                }
                try await eventually("all have asked") {
                    let (commands, _, waiting, _) = await client.inFlight
                    return commands + waiting == 1000
                }
                let (commands, bytes, _, _) = await client.inFlight
                #expect(commands <= 15 && commands > 0 && bytes <= 64 * 1024)
                server.resume()
                try await group.waitForAll()
            }
            #expect(try await client.send(RedisCommand("LLEN", "l")).integer == 1000)
            // One pipeline may be larger than the limits, alone.
            var large = RedisPipeline()
            for _ in 0..<500 { large.append("RPUSH", "l", payload) }
            #expect(try await client.send(large).count == 500)
            let limit = RedisConfiguration(address: .unix(path: server.socketPath))
            #expect(limit.maxCommandsInFlight == 10_000 && limit.maxBytesInFlight == 64 * 1024 * 1024)
        }
    }

    @Test func `a storm of connections leaks nothing`() async throws {
        // In a process of its own, so that other tests' descriptors do not count.
        await #expect(processExitsWith: .success) {
            try await withRedisServer { server in
                let configuration = try RedisConfiguration(url: server.url)
                func connections(_ count: Int) async throws {
                    let started = ContinuousClock.now
                    for number in 1...count {
                        let client = RedisClient(configuration)
                        try await client.connect()
                        client.close()
                        // 200 a second.
                        try await Task.sleep(until: started + .milliseconds(5) * number, clock: .continuous)
                    }
                    try await Task.sleep(for: .milliseconds(200))
                }
                try await connections(200)
                let before = try Held.now()
                try await connections(2000)
                let after = try Held.now()
                print("before \(before), after \(after)")
                guard after.descriptors <= before.descriptors, after.threads <= before.threads,
                    after.residentBytes < before.residentBytes + 2 * 1024 * 1024 || Held.isSanitized
                else { throw Leak() }
            }
        }
    }
}

/// Thrown, because an exit would leave the server behind.
private struct Leak: Error {}

/// What this process holds.
struct Held {
    let descriptors: Int
    let threads: Int
    let residentBytes: Int

    /// A sanitizer keeps what was freed, so that it can tell who uses it.
    static var isSanitized: Bool {
        (["__asan_init", "__tsan_init"] as [String]).contains { unsafe dlsym(nil, $0) != nil }
    }

    static func now() throws -> Held {
        Held(
            descriptors: try count("/proc/self/fd"), threads: try count("/proc/self/task"),
            residentBytes: try resident())
    }

    private static func count(_ folder: String) throws -> Int {
        try FileManager.default.contentsOfDirectory(atPath: folder).count
    }

    private static func resident() throws -> Int {
        let numbers = try String(contentsOfFile: "/proc/self/statm", encoding: .utf8).split(separator: " ")
        return (Int(numbers[1]) ?? 0) * Int(sysconf(Int32(_SC_PAGESIZE)))
    }
}
