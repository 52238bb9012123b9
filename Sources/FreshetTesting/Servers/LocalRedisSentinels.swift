internal import FoundationEssentials
internal import Hiredis

/// A real primary (node 0) with two replicas (1, 2) and three sentinels (3, 4, 5) of one's own.
///
/// `@unchecked Sendable` because its parent is; it adds only constants.
public final class LocalRedisSentinels: LocalRedisNodes, @unchecked Sendable {
    /// The name under which the sentinels know the primary.
    public let name: String
    /// After how long a silent primary is taken for dead.
    public let downAfter: Duration
    private let options: [String]

    /// Describes them; `start` starts them.
    public init(name: String = "shop", downAfter: Duration = .seconds(2), options: [String] = []) {
        self.name = name
        self.downAfter = downAfter
        self.options = options
        super.init(count: 6)
    }

    /// A URL for a client that knows sentinels.
    public var url: String {
        "redis+sentinel://\(addresses[3...].map(\.description).joined(separator: ","))/\(name)"
    }

    override func arguments(of node: Int) throws -> [String] {
        let file = "\(folder(of: node))/redis.conf"
        if !FileManager.default.fileExists(atPath: file) {
            try (configuration(of: node).joined(separator: "\n") + "\n")
                .write(toFile: file, atomically: false, encoding: .utf8)
        }
        return node >= 3 ? [file, "--sentinel"] : [file] + options
    }

    private func configuration(of node: Int) -> [String] {
        var lines = [
            "bind \(hosts[node])", "bind-source-addr \(hosts[node])", "port \(port)", "protected-mode no",
            "dir \(folder(of: node))",
        ]
        if node >= 3 {
            lines += [
                "sentinel monitor \(name) \(hosts[0]) \(port) 2",
                "sentinel down-after-milliseconds \(name) \(Self.milliseconds(downAfter))",
                "sentinel failover-timeout \(name) 10000", "sentinel parallel-syncs \(name) 1",
                "sentinel announce-ip \(hosts[node])",
            ]
        } else {
            lines += ["save \"\"", "replica-announce-ip \(hosts[node])", "repl-diskless-sync-delay 0"]
            if node > 0 { lines.append("replicaof \(hosts[0]) \(port)") }
        }
        return lines
    }

    /// Starts all and waits until the sentinels know each other and the replicas; takes about 3 s.
    public func start() async throws {
        for node in 0..<3 { try launch(node) }
        try await awaitAnswer(0)
        try await waitFor("both replicas are online") {
            let replication = try await self.information("replication", of: 0)
            return ["slave0", "slave1"].allSatisfy { replication[$0]?.contains("state=online") == true }
        }
        for node in 3..<6 { try launch(node) }
        for node in 3..<6 {
            try await awaitAnswer(node)
            try await waitFor("sentinel \(node) knows all") {
                let known = try await self.information("sentinel", of: node)
                return known["master0"]?.contains("status=ok") == true
                    && known["master0"]?.contains("slaves=2,sentinels=3") == true
            }
        }
    }

    /// The nodes that the sentinels name as the primary, one for each sentinel that answers.
    public func namedPrimaries() async -> [Int] {
        var named: [Int] = []
        for sentinel in 3..<6 where isRunning(sentinel) {
            let answer = try? await send(
                RedisCommand("SENTINEL", "GET-MASTER-ADDR-BY-NAME", name), to: sentinel)
            if let host = answer?.array?[0].string, let node = hosts.firstIndex(of: host) {
                named.append(node)
            }
        }
        return named
    }

    /// The node that at least two sentinels, the quorum, name as the primary; nil while they do not agree.
    public func primary() async -> Int? {
        let named = await namedPrimaries()
        return named.first { node in named.count { $0 == node } >= 2 }
    }
}

/// Runs the body with a primary, replicas and sentinels of its own, which are stopped at the end in any case.
public func withRedisSentinels<R>(
    _ sentinels: LocalRedisSentinels = LocalRedisSentinels(),
    _ body: (LocalRedisSentinels) async throws -> R
) async throws -> R {
    try await withServer(start: { try await sentinels.start() }, stop: { await sentinels.stop() }) {
        try await body(sentinels)
    }
}
