internal import FoundationEssentials
internal import FreshetTesting
internal import Hiredis

/// The private redis-server that all measurements use, and what stands in it when one begins.
struct BenchServer: Sendable {
    let local: LocalRedisServer
    let client: RedisClient
    private static let stream = "bench:events"
    static let group = "bench"

    /// The server for clients without TLS.
    var url: String { local.url }
    /// The server's address for the C program.
    var address: String { local.socketPath }
    /// The server through TLS.
    let tlsURL: String
    /// Its files go with it.
    let certificates: TestCertificates
    /// The server through TCP without TLS: what TLS is compared with.
    var tcpURL: String { local.tcpURL }

    /// Removes what the last measurement left and makes what this one needs: nothing to publish, all entries and the
    /// group to read.
    ///
    /// - Parameter traces: which part of the events comes from traces that are recorded; nil when they come from none.
    func prepare(_ work: Work, entries: Int, traces: Double? = nil) async throws {
        try await client.send(RedisCommand("FLUSHALL"), timeout: .seconds(60))
        switch work {
        case .publish, .publishFromTasks: return
        case .latency, .deliverAtRate: break
        case .readAcknowledge: try await fill(entries)
        case .readEvents, .deliver, .handle, .replay, .copy:
            try await WorkTask.publishEvents(entries, traces: traces, on: client)
        }
        try await client.send(
            RedisCommand("XGROUP", "CREATE", Self.stream(of: work), Self.group, "0", "MKSTREAM"))
        guard work == .deliver(.pending) else { return }
        for start in stride(from: 0, to: entries / 10, by: 5000) {
            try await client.send(
                .xreadgroup(
                    Self.group, "dead", [Self.stream(of: work)], count: min(5000, entries / 10 - start)))
        }
    }

    /// The stream that the work is done on.
    static func stream(of work: Work) -> String {
        work.usesEvents ? WorkTask.log : stream
    }

    private func fill(_ entries: Int) async throws {
        try await WorkTask(client: client, stream: Self.stream, group: Self.group, warmUp: 0, events: 0)
            .publish((entries + 255) / 256 * 256, inBatchesOf: 256)
    }
}

/// Runs the body with a server that is stopped at the end in any case.
func withBenchServer<R>(_ body: (BenchServer) async throws -> R) async throws -> R {
    let certificates = try await TestCertificates()
    let tlsPort = freePort()
    let server = LocalRedisServer(port: freePort(), options: certificates.serverOptions(port: tlsPort))
    return try await withRedisServer(server) { local in
        let client = RedisClient(try RedisConfiguration(url: local.url))
        defer { client.close() }
        let tlsURL = "rediss://127.0.0.1:\(tlsPort)?tls-ca=\(certificates.authority)"
        return try await body(
            BenchServer(local: local, client: client, tlsURL: tlsURL, certificates: certificates))
    }
}
