import FoundationEssentials
import Freshet
import FreshetTesting
import Glibc
import Hiredis
import Testing

/// How a program ended and what it said.
struct Outcome {
    let ending: ChildProcess.Ending
    let output: String
    let errors: String

    /// Nil when a signal ended it.
    var exitCode: Int32? { if case .exited(let code) = ending { code } else { nil } }

    var lines: [Substring] { output.split(separator: "\n") }

    func json<Value: Decodable>(_ type: Value.Type) throws -> Value {
        try JSONDecoder().decode(type, from: Data(output.utf8))
    }
}

/// A program that was started.
struct Running {
    let child: ChildProcess
    let path: String

    var output: String { (try? String(contentsOfFile: "\(path).out", encoding: .utf8)) ?? "" }
    var errors: String { (try? String(contentsOfFile: "\(path).err", encoding: .utf8)) ?? "" }

    /// Waits for the end; kills the program when it does not come in time.
    func outcome(within limit: Duration = .seconds(60)) async -> Outcome {
        let ending = await withTaskGroup(of: Void.self) { tasks in
            tasks.addTask {
                try? await Task.sleep(for: limit)
                if !Task.isCancelled { child.signal(SIGKILL) }
            }
            let ending = await child.wait()
            tasks.cancelAll()
            return ending
        }
        return Outcome(ending: ending, output: output, errors: errors)
    }
}

/// A server of one test, and the tools under test, as they were built beside the tests.
final class Rig: Sendable {
    let server: LocalRedisServer
    let client: RedisClient
    var broker: Broker { Broker(client, namespace: "test") }

    init(_ server: LocalRedisServer, _ client: RedisClient) {
        self.server = server
        self.client = client
    }

    static func with(
        _ server: LocalRedisServer = LocalRedisServer(), _ body: (Rig) async throws -> Void
    ) async throws {
        try await withRedisServer(server) { server in
            let client = RedisClient(try RedisConfiguration(url: server.url))
            defer { client.close() }
            try await body(Rig(server, client))
        }
    }

    @discardableResult
    func redis(_ arguments: any RedisArgument...) async throws -> RedisReply {
        try await client.send(RedisCommand(arguments: arguments))
    }

    @discardableResult
    func redis(arguments: [any RedisArgument]) async throws -> RedisReply {
        try await client.send(RedisCommand(arguments: arguments))
    }

    /// Adds events with these numbers as milliseconds and ids to a partition of the topic `orders`.
    func publish(_ numbers: some Sequence<Int>, partition: Int = 0, type: String = "order.placed")
        async throws
    {
        var pipeline = RedisPipeline()
        for number in numbers {
            pipeline.append(
                "XADD", "test:events:{orders:\(partition)}", "\(number)-0", "specversion", "1.0", "id",
                "e\(number)", "source", "till", "type", type, "partitionkey", "k\(number % 3)", "data",
                "{\"number\":\(number)}")
        }
        for reply in try await client.send(pipeline) { try reply.get() }
    }

    /// Adds this many bare events, 1-0 and up; in pieces, so that no script keeps a busy machine's server for long.
    func fill(_ count: Int) async throws {
        for first in stride(from: 1, through: count, by: 20_000) {
            try await redis(
                "EVAL",
                "for i = ARGV[1], ARGV[2] do redis.call('XADD', KEYS[1], i .. '-0', 'id', i, 'type', 't') end",
                1,
                "test:events:{orders:0}", first, min(first + 19_999, count))
        }
    }

    func createGroup(_ name: String = "payment", after start: String = "0", partition: Int = 0) async throws {
        for stream in ["test:events:{orders:\(partition)}", "test:redelivery:{orders:\(partition)}:\(name)"] {
            try await redis("XGROUP", "CREATE", stream, name, start, "MKSTREAM")
        }
    }

    func length(_ key: String) async throws -> Int { try await redis("XLEN", key).integer ?? -1 }

    /// Starts a tool on this server and the namespace `test`; the environment says so, not the flags.
    func start(
        _ tool: String, _ arguments: [String], environment: [String: String] = [:], input: [UInt8]? = nil
    ) throws -> Running {
        let path = "\(server.folder)/\(tool)-\(String(UInt32.random(in: 0 ... .max), radix: 36))"
        var stream = ChildProcess.Stream.null
        if let input {
            try Data(input).write(to: URL(filePath: "\(path).in"))
            stream = .file("\(path).in")
        }
        var all = ProcessInfo.processInfo.environment.filter {
            !$0.key.hasPrefix("REDIS_") && !$0.key.hasPrefix("FRESHET_")
        }
        all["REDIS_URL"] = server.url
        all["FRESHET_NAMESPACE"] = "test"
        all.merge(environment) { $1 }
        let child = try ChildProcess(
            Self.executable(tool), arguments, environment: all, input: stream, output: .file("\(path).out"),
            errors: .file("\(path).err"))
        return Running(child: child, path: path)
    }

    func run(
        _ tool: String, _ arguments: String..., environment: [String: String] = [:], input: String? = nil
    ) async throws -> Outcome {
        let bytes = input.map { Array($0.utf8) }
        return try await start(tool, arguments, environment: environment, input: bytes).outcome()
    }

    private static func executable(_ name: String) throws -> String {
        // The test bundle, or the runner that loads it, stands in the folder of the products.
        var folder = CommandLine.arguments[0]
        while let slash = folder.lastIndex(of: "/") {
            folder = String(folder[..<slash])
            let path = "\(folder)/\(name)"
            if FileManager.default.isExecutableFile(atPath: path) { return path }
        }
        throw Unexpected(description: "\(name) is not built: swift build --build-tests")
    }
}

struct Unexpected: Error, CustomStringConvertible { let description: String }

/// The names of a JSON object's members, sorted.
struct MemberNames: Decodable {
    let names: [String]

    private struct Name: CodingKey {
        let stringValue: String
        var intValue: Int? { nil }
        init?(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { nil }
    }

    init(from decoder: any Decoder) throws {
        names = try decoder.container(keyedBy: Name.self).allKeys.map(\.stringValue).sorted()
    }
}
