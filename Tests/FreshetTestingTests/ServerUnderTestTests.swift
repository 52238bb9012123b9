import FreshetTesting
import Hiredis
import Testing

@Suite struct ServerUnderTestTests {
    @Test func `what its program tells is what a running server tells`() async throws {
        let asked = try await ServerUnderTest()
        try await withRedisServer { server in
            let client = RedisClient(try RedisConfiguration(url: server.url))
            defer { client.close() }
            let lines = try #require(try await client.send(RedisCommand("INFO", "server")).string)
                .split(whereSeparator: \.isNewline)
            // Valkey has one more line, and gives a Redis version for old clients.
            let name = asked.product == "Redis" ? "redis" : "valkey"
            #expect(lines.contains("\(name)_version:\(asked.version)"))
            #expect((asked.product == "Valkey") == lines.contains { $0.hasPrefix("valkey_version:") })
        }
    }

    @Test func `it has TLS when a server with a certificate listens, and only then`() async throws {
        let hasTLS = try await ServerUnderTest().hasTLS
        let certificates = try await TestCertificates()
        let server = LocalRedisServer(options: certificates.serverOptions(port: freePort()))
        do {
            try await withRedisServer(server) { _ in }
            #expect(hasTLS)
        } catch let error as LocalRedisServer.StartError {
            #expect(!hasTLS, "\(error)")
        }
    }

    @Test func `the library that is loaded is of the headers' major version`() throws {
        let file = try #require(HiredisLibrary.loadedFile)
        #expect(file.hasPrefix("libhiredis.so.\(HiredisLibrary.headers.prefix { $0 != "." })."))
    }
}
