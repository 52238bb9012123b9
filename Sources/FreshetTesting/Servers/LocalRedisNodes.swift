internal import FoundationEssentials
internal import Glibc
public import Hiredis
internal import Synchronization

/// Several redis-servers on loopback that know each other, each at an address of its own, so that one can be cut off
/// from the others while clients still reach it.
///
/// What `LocalRedisCluster` and `LocalRedisSentinels` have in common.
public class LocalRedisNodes: @unchecked Sendable {
    // `@unchecked Sendable` because others inherit from it, which the compiler cannot follow: what changes is in
    // `processes`, a mutex.

    /// Servers that did not come up, or not together.
    public struct StartError: Error, CustomStringConvertible {
        /// What was waited for.
        public let description: String
    }

    /// Where each node listens.
    public let addresses: [RedisConfiguration.Address]
    /// The folder with each node's files, removed by `stop`.
    public let folder: String
    let hosts: [String]
    let port: Int
    private let processes: Guarded<[ChildProcess?]>
    private let network = NetworkCut()

    init(count: Int) {
        // A cluster's nodes also listen 10,000 ports higher. Both are below the ports that the kernel gives to clients.
        var (hosts, port): ([String], Int) = ([], 0)
        repeat {
            let net = "127.\(Int.random(in: 10...250)).\(Int.random(in: 0...255))"
            hosts = (1...count).map { "\(net).\($0)" }
            port = Int.random(in: 10_000...20_000)
        } while !hosts.allSatisfy({ host in [port, port + 10_000].allSatisfy { isFree(host: host, port: $0) }
        })
        (self.hosts, self.port) = (hosts, port)
        addresses = hosts.map { .tcp(host: $0, port: port) }
        folder = "/tmp/freshet-\(String(UInt64.random(in: 0 ... .max), radix: 36))"
        processes = Guarded(Array(repeating: nil, count: count))
    }

    /// The arguments of a node's server.
    func arguments(of node: Int) throws -> [String] { preconditionFailure("each kind has its own") }

    func folder(of node: Int) -> String { "\(folder)/\(node)" }

    private func log(of node: Int) -> String { "\(folder(of: node))/redis.log" }

    /// The process id of a node while it runs.
    public func processID(of node: Int) -> Int32? {
        processes.withLock { $0[node].flatMap { $0.ending == nil ? $0.id : nil } }
    }

    /// Whether a node's process is there, frozen or not.
    public func isRunning(_ node: Int) -> Bool { processID(of: node) != nil }

    func launch(_ node: Int) throws {
        guard !isRunning(node) else { throw StartError(description: "node \(node) still runs") }
        guard let binary = ServerUnderTest.binary else {
            throw StartError(
                description: "redis-server is not in PATH (Debian: apt-get install redis-server)")
        }
        try FileManager.default.createDirectory(
            atPath: folder(of: node), withIntermediateDirectories: true,
            attributes: [.posixPermissions: 0o700])
        let log = log(of: node)
        let child = try ChildProcess(
            binary, try arguments(of: node), output: .file(log), errors: .file(log))
        processes.withLock { $0[node] = child }
    }

    /// A client of one node alone.
    public func client(of node: Int) -> RedisClient {
        var configuration = RedisConfiguration(address: addresses[node])
        configuration.connectTimeout = .seconds(1)
        configuration.commandTimeout = .seconds(2)
        return RedisClient(configuration)
    }

    /// Sends one command to one node.
    @discardableResult
    public func send<Answer>(_ command: RedisCommand<Answer>, to node: Int) async throws -> Answer {
        let client = client(of: node)
        defer { client.close() }
        return try await client.send(command)
    }

    /// Ends all nodes, lets the network be as it was, and removes the files.
    public func stop() async {
        try? await network.heal()
        for child in processes.withLock({ $0 }) {
            child?.signal(SIGCONT)
            child?.signal(SIGKILL)
        }
        for child in processes.withLock({ $0 }) { await child?.wait() }
        try? FileManager.default.removeItem(atPath: folder)
    }

    /// Ends a node at once (SIGKILL) and waits for its end.
    public func kill(_ node: Int) async {
        let child = processes.withLock { $0[node] }
        child?.signal(SIGKILL)
        await child?.wait()
    }

    /// Starts a killed node again on its files, without waiting until it answers; an error while it still runs.
    public func restart(_ node: Int) throws { try launch(node) }

    /// Freezes a node (SIGSTOP).
    public func pause(_ node: Int) { processes.withLock { $0[node] }?.signal(SIGSTOP) }

    /// Lets a frozen node go on (SIGCONT).
    public func resume(_ node: Int) { processes.withLock { $0[node] }?.signal(SIGCONT) }

    /// Whether `cut` works here: as root, with iptables.
    public static func canCut() async -> Bool { await NetworkCut.isPossible() }

    /// Cuts a node off from all others; clients at 127.0.0.1 still reach it. Needs root and iptables.
    public func cut(_ node: Int) async throws {
        try await network.cut(hosts[node], from: hosts)
    }

    /// Ends all cuts.
    public func heal() async throws { try await network.heal() }

    /// Waits until a node answers.
    func awaitAnswer(_ node: Int) async throws {
        try await waitFor("node \(node) answers") {
            guard self.isRunning(node) else {
                let text = (try? String(contentsOfFile: self.log(of: node), encoding: .utf8)) ?? ""
                let lines = text.split(separator: "\n").suffix(5).joined(separator: " | ")
                throw StartError(description: "node \(node) did not start: \(lines)")
            }
            return (try? await self.send(RedisCommand("PING"), to: node)) != nil
        }
    }

    func waitFor(_ what: String, _ condition: () async throws -> Bool) async throws {
        do {
            try await eventually(what, within: .seconds(30), condition)
        } catch is NotInTime {
            throw StartError(description: "not in 30 s: \(what)")
        }
    }

    /// The lines of a node's INFO section, by name.
    func information(_ section: String, of node: Int) async throws -> [String: String] {
        let text = try await send(RedisCommand("INFO", section), to: node).string ?? ""
        return Self.fields(text)
    }

    static func milliseconds(_ duration: Duration) -> Int64 {
        let (seconds, attoseconds) = duration.components
        return seconds * 1000 + attoseconds / 1_000_000_000_000_000
    }

    static func fields(_ text: String) -> [String: String] {
        var fields: [String: String] = [:]
        for line in text.split(whereSeparator: \.isNewline) {
            let parts = line.split(separator: ":", maxSplits: 1)
            if parts.count == 2 { fields[String(parts[0])] = String(parts[1]) }
        }
        return fields
    }
}
