import FreshetTesting
import Hiredis
import Testing

@Suite struct CapabilityTests {
    /// The server's own word about its version: Valkey names two.
    private func version(_ client: RedisClient) async throws -> (product: String, version: String) {
        let info = try await client.send(RedisCommand("INFO", "server")).string ?? ""
        func value(_ name: String) -> String? {
            info.split(whereSeparator: \.isNewline).first { $0.hasPrefix(name + ":") }
                .map { String($0.dropFirst(name.count + 1)) }
        }
        if let valkey = value("valkey_version") { return ("valkey", valkey) }
        return ("redis", try #require(value("redis_version")))
    }

    @Test func `what a server can do is what its version brings, and asking leaves no trace`() async throws {
        try await withServer { _, client in
            let capabilities = try await client.capabilities(keyPrefix: "shop:")
            let (product, version) = try await version(client)
            #expect(capabilities.product == product && capabilities.version == version)
            let numbers = version.split(separator: ".").compactMap { Int($0) }
            func since(_ major: Int, _ minor: Int) -> Bool {
                product == "redis" && (numbers[0], numbers[1]) >= (major, minor)
            }
            let expected: [RedisCapabilities.Feature: Bool] = [
                .xautoclaim: true, .waitaof: product == "valkey" || since(7, 2), .xackdel: since(8, 2),
                .xdelex: since(8, 2), .trimAcknowledged: since(8, 2), .readGroupClaim: since(8, 4),
                .addIdempotent: since(8, 6), .xcfgset: since(8, 6), .xnack: since(8, 8),
                .readMaximum: since(8, 10),
            ]
            for feature in RedisCapabilities.Feature.allCases {
                #expect(capabilities.has(feature) == expected[feature], "\(feature) on \(product) \(version)")
            }
            #expect(try await client.send(RedisCommand("DBSIZE")).integer == 0)
            print("\(product) \(version): \(capabilities.features.map(\.rawValue).sorted())")
        }
    }

    @Test func `after a reconnect the server is asked again, in between it is not`() async throws {
        try await withServer { server, client in
            #expect(try await client.capabilities().has(.xautoclaim))
            func probes() async throws -> Int {
                let stats = try await client.send(RedisCommand("INFO", "commandstats")).string ?? ""
                let line = stats.split(whereSeparator: \.isNewline).first {
                    $0.hasPrefix("cmdstat_hello:calls=")
                }
                return line.flatMap { Int($0.dropFirst("cmdstat_hello:calls=".count).prefix { $0.isNumber }) }
                    ?? 0
            }
            #expect(try await client.capabilities().has(.xautoclaim))
            #expect(try await probes() == 1)
            await server.kill()
            try await server.start()
            _ = try await client.capabilities()
            #expect(try await probes() == 1, "a new server counts from 0")
        }
    }

    @Test func `an option that the user may not try counts as missing`() async throws {
        let options = ["--user", "clerk", "on", ">pw", "~shop:*", "+@all", "-xtrim", "-xreadgroup", "-xadd"]
        try await withRedisServer(LocalRedisServer(options: options)) { server in
            var configuration = try RedisConfiguration(url: server.url)
            (configuration.user, configuration.password) = ("clerk", "pw")
            let client = RedisClient(configuration)
            defer { client.close() }
            let capabilities = try await client.capabilities(keyPrefix: "shop:")
            #expect(capabilities.has(.xautoclaim))
            for feature in [.trimAcknowledged, .readGroupClaim, .addIdempotent] as [RedisCapabilities.Feature]
            {
                #expect(!capabilities.has(feature))
            }
        }
    }
}
