import FoundationEssentials
import FreshetTesting
import Glibc
import Hiredis
import Testing

/// Whether a process is there.
func isAlive(_ id: Int32) -> Bool { kill(id, 0) == 0 }

/// The rules of iptables that name one of these nodes, whoever made them.
func rules(of nodes: LocalRedisNodes) async throws -> [String] {
    let file = "/tmp/freshet-rules-\(UInt64.random(in: 0 ... .max))"
    defer { try? FileManager.default.removeItem(atPath: file) }
    let child = try ChildProcess("/usr/sbin/iptables", ["-w", "-S", "INPUT"], output: .file(file))
    try #require(await child.wait() == .exited(0))
    let hosts = nodes.addresses.map { address in
        guard case .tcp(let host, _) = address else { return address.description }
        return host
    }
    return try String(contentsOfFile: file, encoding: .utf8).split(separator: "\n").map(String.init)
        .filter { line in hosts.contains { line.contains(" \($0)/32 ") } }
}

/// What a node says it is: `master`, `slave` or `sentinel`.
func role(of node: Int, in nodes: LocalRedisNodes) async throws -> String? {
    try await nodes.send(RedisCommand("ROLE"), to: node).array?[0].string
}

/// The time that the body takes.
func time(_ body: () async throws -> Void) async rethrows -> Duration {
    let start = ContinuousClock.now
    try await body()
    return .now - start
}

struct Planned: Error {}
