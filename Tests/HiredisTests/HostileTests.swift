import FreshetTesting
import Glibc
import InMemoryLogging
import Logging
import Testing

@testable import Hiredis

/// A client against peers that no one would wish for.
@Suite struct HostileTests {
    @Test func `a server that goes mad is an error, never another command's reply`() async throws {
        let seed = UInt64.random(in: 0 ... .max)
        print("seed \(seed)")
        let connections = 150
        let server = FakeServer { number, connection in
            var random = Seeded(seed &+ UInt64(number))
            // From the last connection on it is sane.
            let sane = number >= connections ? Int.max : Int.random(in: 0...40, using: &random)
            var commands = ArgumentReader()
            var answered = 0
            while case let bytes = FakeServer.read(connection), !bytes.isEmpty {
                for command in commands.take(bytes) {
                    let reply =
                        switch command.first {
                        case "ECHO": "$\(command[1].utf8.count)\r\n\(command[1])\r\n"
                        case "PING": "+PONG\r\n"
                        default: ":1\r\n"
                        }
                    answered += 1
                    var answer = Array(reply.utf8)
                    if answered > sane {
                        answer = nonsense(instead: answer, using: &random)
                        if answer.isEmpty { return }
                    }
                    guard FakeServer.write(answer, to: connection) else { return }
                }
            }
        }
        defer { server.stop() }
        var configuration = server.configuration
        configuration.maxReplyBytes = 100_000
        configuration.commandTimeout = .milliseconds(100)
        let client = RedisClient(configuration)
        defer { client.close() }
        var (own, other, errors) = (0, 0, 0)
        var number = 0
        var issued: Set<String> = []
        repeat {
            let outcomes = await withTaskGroup(of: (String, Result<RedisReply, RedisError>).self) { group in
                for _ in 0..<20 {
                    number += 1
                    let value = "value-\(number)-"
                    issued.insert(value)
                    group.addTask {
                        do throws(RedisError) {
                            return (value, .success(try await client.send(RedisCommand("ECHO", value))))
                        } catch { return (value, .failure(error)) }
                    }
                }
                return await group.reduce(into: []) { $0.append($1) }
            }
            for (value, outcome) in outcomes {
                guard case .success(let reply) = outcome else {
                    errors += 1
                    continue
                }
                if reply.string == value { own += 1 } else { other += 1 }
                // Nonsense may hold parts of anything; nobody may be given what was meant for someone else.
                let isAnothers = reply.string.map { $0 != value && issued.contains($0) } ?? false
                #expect(!isAnothers, "\(value) got \(reply.string ?? ""), seed \(seed)")
            }
        } while server.connections <= connections && number < 200_000
        print("\(own) own replies, \(other) of nonsense, \(errors) errors in \(number) commands")
        #expect(own > 0 && errors > 0)
        #expect(try await client.send(RedisCommand("ECHO", "sane"), timeout: .seconds(20)).string == "sane")
    }

    @Test func `what passes through a link that is always full is not kept`() async throws {
        // In a process of its own, whose memory is its own.
        await #expect(processExitsWith: .success) {
            let payload = [UInt8](repeating: 120, count: 4096)
            var command = RedisPipeline()
            command.append("SET", "k", payload)
            let size = command.bytes.count
            let server = FakeServer { _, connection in
                guard case let greeting = FakeServer.read(connection), !greeting.isEmpty else { return }
                FakeServer.write(Array(":1\r\n+PONG\r\n".utf8), to: connection)
                var (received, answered) = (0, 0)
                while case let bytes = FakeServer.read(connection), !bytes.isEmpty {
                    received += bytes.count
                    let due = received / size - answered
                    answered += due
                    guard
                        FakeServer.write(
                            Array(repeatElement("+OK\r\n".utf8, count: due).joined()), to: connection)
                    else { return }
                }
            }
            var configuration = server.configuration
            configuration.maxBytesInFlight = 4 * 1024 * 1024
            let client = RedisClient(configuration)
            func pass(_ count: Int) async throws {
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for _ in 0..<2000 {
                        group.addTask {
                            for _ in 0..<count / 2000 {
                                try await client.send(RedisCommand("SET", "k", payload))
                            }
                        }
                    }
                    try await group.waitForAll()
                }
            }
            try await pass(10_000)
            let before = try Held.now()
            try await pass(60_000)
            let after = try Held.now()
            print("before \(before), after \(after), 240 MB later")
            guard after.residentBytes < before.residentBytes + 32 * 1024 * 1024 || Held.isSanitized else {
                exit(1)
            }
        }
    }

    @Test func `an address that is given up closes its own descriptor, once`() async throws {
        // In a process of its own: a second close takes a descriptor that has become someone else's.
        await #expect(processExitsWith: .success) {
            let others = Task.detached {
                while !Task.isCancelled {
                    guard close(dup(STDERR_FILENO)) == 0 else { exit(1) }
                }
            }
            await giveUpAddresses(20_000)
            others.cancel()
            await others.value
        }
    }

    @Test func `a connection that the kernel will not poll ends with its reason`() async throws {
        // epoll takes no regular file, as it takes no socket beyond a user's limit.
        let path = "/tmp/freshet-\(UInt64.random(in: 0 ... .max))"
        let file = unsafe open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0o600)
        defer { unsafe unlink(path) }
        let log = InMemoryLogHandler.forEverything
        let server = RedisConfiguration.Address.tcp(host: "localhost", port: 1)
        let core = ConnectionCore(
            RedisConfiguration(address: server), loop: .shared, logger: Logger(label: "test") { _ in log })
        core.loop.execute {
            core.submit(Request(RedisCommand("PING").pipeline, timeout: .seconds(20)))
            core.state = .connecting(
                Link(descriptor: file), Route(server: server, addresses: [], security: nil))
        }
        try await eventually("the log has the reason") {
            log.entries.contains { "\($0)".contains("Operation not permitted") }
        }
        core.loop.execute { core.close() }
    }

    @Test func `values of 50 MB come back whole, between others`() async throws {
        try await withServer { _, client in
            // A length that is no multiple of any buffer's.
            var random = Seeded(7)
            let block = (0..<1_000_003).map { _ in UInt8(truncatingIfNeeded: random.next()) }
            var value: [UInt8] = []
            for _ in 0..<50 { value += block }
            let whole = value
            var pipeline = RedisPipeline()
            pipeline.append("ECHO", "before")
            pipeline.append("SET", "k", whole)
            pipeline.append("GET", "k")
            pipeline.append("ECHO", "between")
            pipeline.append("GETRANGE", "k", whole.count - 8, whole.count - 1)
            async let other = client.send(RedisCommand("ECHO", "other"), timeout: .seconds(120))
            let replies = try await client.send(pipeline, timeout: .seconds(120))
            #expect(replies[0].string == "before" && replies[1].string == "OK")
            #expect(replies[2].bytes?.array == whole)
            #expect(replies[3].string == "between" && replies[4].bytes?.array == Array(whole.suffix(8)))
            #expect(try await other.string == "other")
        }
    }
}

/// Attempts whose first address fails after a while and whose next one fails at once, as one without a route does.
private func giveUpAddresses(_ count: Int) async {
    let server = RedisConfiguration.Address.tcp(host: "localhost", port: 1)
    let silent = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
    let core = ConnectionCore(RedisConfiguration(address: server), loop: .shared, logger: silent)
    await withCheckedContinuation { continuation in
        core.loop.execute {
            for _ in 0..<count {
                let route = Route(server: server, addresses: ["255.255.255.255"], security: nil)
                let link = Link(descriptor: dup(STDERR_FILENO))
                core.state = .connecting(link, route)
                core.tryNext(after: link, route, core.failed("refused"))
            }
            continuation.resume()
        }
    }
}

/// Something else than this reply: part of it, a changed byte, another reply, noise, or nothing at all (which ends it).
private func nonsense(instead reply: [UInt8], using random: inout Seeded) -> [UInt8] {
    switch Int.random(in: 0..<8, using: &random) {
    case 0: return reply.dropLast(Int.random(in: 1...reply.count, using: &random))
    case 1:
        var changed = reply
        changed[Int.random(in: 0..<min(4, reply.count), using: &random)] = UInt8.random(
            in: 0 ... .max, using: &random)
        return changed
    case 2: return Array("*3\r\n:1\r\n+OK\r\n$-1\r\n".utf8)
    case 3: return Array(String(repeating: "*1\r\n", count: Int.random(in: 5...60, using: &random)).utf8)
    case 4: return Array("$\(Int.random(in: 100_000...Int.max, using: &random))\r\n".utf8)
    case 5: return Array("+\(String(repeating: "x", count: 150_000))".utf8)
    case 6:
        return (0..<Int.random(in: 1...200, using: &random)).map { _ in
            .random(in: 0 ... .max, using: &random)
        }
    default: return []
    }
}

/// Takes commands apart as a server does, however they are cut.
private struct ArgumentReader {
    private var rest: [UInt8] = []

    /// The commands that are whole now, each as its arguments.
    mutating func take(_ bytes: [UInt8]) -> [[String]] {
        rest += bytes
        var commands: [[String]] = []
        var position = 0
        var arguments: [String] = []
        var left = 0
        var begin = 0
        while let end = rest[position...].firstIndex(of: UInt8(ascii: "\r")), end + 1 < rest.count {
            let number = Int(String(decoding: rest[position + 1..<end], as: UTF8.self)) ?? 0
            if left == 0 {
                (left, begin, arguments) = (number, position, [])
                position = end + 2
            } else {
                guard end + 2 + number + 2 <= rest.count else { break }
                arguments.append(String(decoding: rest[end + 2..<end + 2 + number], as: UTF8.self))
                position = end + 2 + number + 2
                left -= 1
                if left == 0 {
                    commands.append(arguments)
                    begin = position
                }
            }
        }
        rest.removeFirst(left == 0 ? position : begin)
        return commands
    }
}
