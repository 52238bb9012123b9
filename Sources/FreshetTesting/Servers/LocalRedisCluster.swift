internal import FoundationEssentials
internal import Hiredis

/// A real Redis Cluster of one's own: primaries with one replica each. Node i is a primary at first, and node
/// `primaries + i` its replica.
///
/// `@unchecked Sendable` because its parent is; it adds only constants.
public final class LocalRedisCluster: LocalRedisNodes, @unchecked Sendable {
    /// How many primaries there are.
    public let primaries: Int
    /// After how long a silent node is taken for dead.
    public let nodeTimeout: Duration
    private let options: [String]

    /// Describes a cluster; `start` starts it.
    public init(primaries: Int = 3, nodeTimeout: Duration = .seconds(2), options: [String] = []) {
        self.primaries = primaries
        self.nodeTimeout = nodeTimeout
        self.options = options
        super.init(count: primaries * 2)
    }

    /// A URL for a client that knows clusters.
    public var url: String { "redis+cluster://\(addresses.map(\.description).joined(separator: ","))" }

    override func arguments(of node: Int) -> [String] {
        [
            "--bind", hosts[node], "--bind-source-addr", hosts[node], "--port", "\(port)", "--protected-mode",
            "no", "--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-node-timeout",
            "\(Self.milliseconds(nodeTimeout))", "--save", "", "--appendonly", "no", "--dir",
            folder(of: node), "--daemonize",
            "no", "--repl-diskless-sync-delay", "0",
        ] + options
    }

    /// Starts the nodes and makes them one cluster; takes about 3 s.
    public func start() async throws {
        for node in addresses.indices { try launch(node) }
        for node in addresses.indices { try await awaitAnswer(node) }
        for node in 0..<primaries {
            let (first, last) = (slots(of: node).lowerBound, slots(of: node).upperBound - 1)
            try await send(RedisCommand("CLUSTER", "ADDSLOTSRANGE", first, last), to: node)
            try await send(RedisCommand("CLUSTER", "SET-CONFIG-EPOCH", node + 1), to: node)
        }
        for node in addresses.indices.dropFirst() {
            try await send(RedisCommand("CLUSTER", "MEET", hosts[node], port), to: 0)
        }
        for node in addresses.indices {
            try await waitFor("node \(node) knows all") {
                try await self.state(of: node)["cluster_known_nodes"] == "\(self.addresses.count)"
            }
        }
        for node in primaries..<addresses.count {
            let id = try await identifier(of: node - primaries)
            try await waitFor("node \(node) follows its primary") {
                (try? await self.send(RedisCommand("CLUSTER", "REPLICATE", id), to: node)) != nil
            }
        }
        try await awaitHealth()
    }

    /// Waits until every node that runs sees the whole cluster working, with a replica at each primary, and could be
    /// killed and start again.
    public func awaitHealth() async throws {
        for node in addresses.indices where isRunning(node) {
            try await waitFor("the cluster works, says node \(node)") {
                guard (try? await self.state(of: node))?["cluster_state"] == "ok",
                    let replication = try? await self.information("replication", of: node)
                else { return false }
                return replication["role"] == "master"
                    ? replication["slave0"]?.contains("state=online") == true
                    : replication["master_link_status"] == "up"
            }
            try await waitFor("node \(node) has a file to start again on") {
                // What it has learnt of shards is not always saved at once.
                try await self.send(RedisCommand("CLUSTER", "SAVECONFIG"), to: node)
                let file = "\(self.folder(of: node))/nodes.conf"
                return ClusterMember.shardsAgree(inFile: try String(contentsOfFile: file, encoding: .utf8))
            }
        }
    }

    /// The slots that a primary has at first.
    public func slots(of primary: Int) -> Range<Int> {
        let share = HashSlot.count / primaries
        return primary * share..<(primary == primaries - 1 ? HashSlot.count : (primary + 1) * share)
    }

    /// The node that had this key's slot at first.
    public func firstPrimary(of key: String) -> Int {
        (0..<primaries).first { slots(of: $0).contains(HashSlot.of(key)) } ?? 0
    }

    /// A node's `CLUSTER INFO`.
    public func state(of node: Int) async throws -> [String: String] {
        Self.fields(try await send(RedisCommand("CLUSTER", "INFO"), to: node).string ?? "")
    }

    /// Whether a node says that it is a primary.
    public func isPrimary(_ node: Int) async throws -> Bool {
        try await send(RedisCommand("ROLE"), to: node).array?[0].string == "master"
    }

    /// Makes a replica the primary, without loss. The servers give up after 5 s when they are busy, hence again.
    public func failOver(to replica: Int) async throws {
        for _ in 0..<5 {
            try await send(RedisCommand("CLUSTER", "FAILOVER"), to: replica)
            do {
                return try await eventually("it is the primary", within: .seconds(6)) {
                    (try? await self.isPrimary(replica)) == true
                }
            } catch is NotInTime {}
        }
        throw StartError(description: "node \(replica) did not become a primary in 30 s")
    }

    /// A node's id.
    public func identifier(of node: Int) async throws -> String {
        try await send(RedisCommand("CLUSTER", "MYID"), to: node).string ?? ""
    }
}

/// Runs the body with a cluster of its own, which is stopped at the end in any case.
public func withRedisCluster<R>(
    _ cluster: LocalRedisCluster = LocalRedisCluster(), _ body: (LocalRedisCluster) async throws -> R
) async throws -> R {
    try await withServer(start: { try await cluster.start() }, stop: { await cluster.stop() }) {
        try await body(cluster)
    }
}
