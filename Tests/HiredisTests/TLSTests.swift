import FreshetTesting
import Hiredis
import Testing

@Suite(.enabled("needs a server with TLS") { try await ServerUnderTest().hasTLS })
struct TLSTests {
    /// A server that listens with TLS, and the URL of its port.
    private func withTLS(
        _ pair: KeyPath<TestCertificates, TestCertificates.Pair> = \.server, asksForCertificate: Bool = false,
        options: [String] = [],
        _ body: (_ url: String, _ certificates: TestCertificates, LocalRedisServer) async throws -> Void
    ) async throws {
        let certificates = try await TestCertificates()
        let port = freePort()
        let tls = certificates.serverOptions(
            port: port, with: certificates[keyPath: pair], asksForCertificate: asksForCertificate)
        try await withRedisServer(LocalRedisServer(options: tls + options)) { server in
            try await body("rediss://localhost:\(port)", certificates, server)
        }
    }

    private func refusal(_ url: String, within limit: Duration = .seconds(15)) async throws -> RedisError? {
        let client = RedisClient(try RedisConfiguration(url: url))
        defer { client.close() }
        return await #expect(throws: RedisError.self) { try await client.connect(within: limit) }
    }

    @Test func `commands and replies of every size pass through TLS`() async throws {
        try await withTLS { url, certificates, _ in
            for host in ["localhost", "127.0.0.1"] {
                let address = url.replacing("localhost", with: host)
                let client = RedisClient(
                    try RedisConfiguration(url: "\(address)?tls-ca=\(certificates.authority)"))
                defer { client.close() }
                for size in [0, 1, 16_383, 16_384, 16_385, 65_536, 1_048_576, 10_000_000] {
                    let payload = (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 31) }
                    try await client.send(RedisCommand("SET", "k", payload))
                    #expect(try await client.send(RedisCommand("GET", "k")).bytes?.array == payload)
                }
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for number in 0..<2000 {
                        group.addTask {
                            let echo = try await client.send(RedisCommand("ECHO", "n\(number)")).string
                            #expect(echo == "n\(number)")
                        }
                    }
                    try await group.waitForAll()
                }
            }
        }
    }

    @Test func `an unknown authority is refused`() async throws {
        try await withTLS { url, certificates, _ in
            let error = try await refusal("\(url)?tls-ca=\(certificates.strangersAuthority)")
            #expect(
                error?.code == .tls
                    && error?.message.contains("self-signed certificate in certificate chain") == true)
            let system = try await refusal(url)
            #expect(system?.code == .tls, "the system's authorities do not know it either")
            let insecure = RedisClient(try RedisConfiguration(url: "\(url)?tls-insecure=true"))
            defer { insecure.close() }
            #expect(try await insecure.send(RedisCommand("PING")).string == "PONG")
        }
    }

    @Test func `an expired certificate is refused`() async throws {
        try await withTLS(\.expired) { url, certificates, _ in
            let error = try await refusal("\(url)?tls-ca=\(certificates.authority)")
            #expect(error?.code == .tls && error?.message.contains("certificate has expired") == true)
        }
    }

    @Test func `a certificate for another host is refused`() async throws {
        try await withTLS(\.misnamed) { url, certificates, _ in
            let error = try await refusal("\(url)?tls-ca=\(certificates.authority)")
            #expect(error?.code == .tls && error?.message.contains("hostname mismatch") == true)
            let address = url.replacing("localhost", with: "127.0.0.1")
            let numeric = try await refusal("\(address)?tls-ca=\(certificates.authority)")
            #expect(numeric?.code == .tls && numeric?.message.contains("IP address mismatch") == true)
            let named = RedisClient(
                try RedisConfiguration(
                    url: "\(url)?tls-ca=\(certificates.authority)&tls-server-name=elsewhere.example"))
            defer { named.close() }
            #expect(try await named.send(RedisCommand("PING")).string == "PONG")
        }
    }

    @Test func `TLS on one side only is named`() async throws {
        let port = freePort()
        try await withRedisServer(LocalRedisServer(port: port)) { _ in
            let error = try await refusal(
                "rediss://127.0.0.1:\(port)?connect-timeout=2")
            #expect(error?.message.contains("a server without TLS") == true, "\(error?.message ?? "")")
        }
        try await withTLS { url, _, _ in
            let error = try await refusal(url.replacing("rediss", with: "redis"))
            #expect(error?.message.contains("rediss://") == true, "\(error?.message ?? "")")
        }
    }

    @Test func `a server that asks for a certificate gets it, or the error says that it is missing`()
        async throws
    {
        let users = ["--user", "worker", "on", ">s3cret", "~app:*", "+@all", "--user", "default", "off"]
        try await withTLS(asksForCertificate: true, options: users) { url, certificates, _ in
            let error = try await refusal("\(url)?tls-ca=\(certificates.authority)")
            #expect(error?.code == .tls && error?.message.contains("certificate required") == true)
            let own = "tls-cert=\(certificates.client.certificate)&tls-key=\(certificates.client.key)"
            let address = url.replacing("rediss://", with: "rediss://worker:s3cret@")
            let client = RedisClient(
                try RedisConfiguration(url: "\(address)?tls-ca=\(certificates.authority)&\(own)"))
            defer { client.close() }
            #expect(try await client.send(RedisCommand("SET", "app:k", "v")).string == "OK")
            let refused = await #expect(throws: RedisError.self) {
                try await client.send(RedisCommand("SET", "other", "v"))
            }
            #expect(refused?.serverCode == .noPermission && refused?.remedy == RedisError.Remedy.none)
        }
    }

    @Test func `files that cannot be used are named`() async throws {
        try await withTLS { url, certificates, _ in
            let missing = try await refusal("\(url)?tls-ca=/nowhere/ca.pem")
            #expect(
                missing?.code == .invalidConfiguration && missing?.message.contains("/nowhere/ca.pem") == true
            )
            let half = try await refusal("\(url)?tls-cert=\(certificates.client.certificate)")
            #expect(half?.code == .invalidConfiguration)
            let (server, client) = (certificates.server, certificates.client)
            let crossed = try await refusal(
                "\(url)?tls-ca=\(certificates.authority)&tls-cert=\(client.certificate)&tls-key=\(server.key)"
            )
            #expect(crossed?.code == .invalidConfiguration && crossed?.message.contains("key") == true)
        }
    }

    @Test func `a connection through TLS that breaks is made again`() async throws {
        try await withTLS { url, certificates, server in
            let client = RedisClient(
                try RedisConfiguration(url: "\(url)?tls-ca=\(certificates.authority)"))
            defer { client.close() }
            try await client.connect()
            await server.kill()
            try await server.start()
            try await eventually("it answers again") { (try? await client.send(RedisCommand("PING"))) != nil }
        }
    }
}
