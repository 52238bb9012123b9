import Testing

@testable import FreshetTesting

@Suite struct FreePortTests {
    @Test func `a port is free until a server listens there, and again after its end`() async throws {
        let port = freePort()
        #expect(port > 0 && isFree(host: "127.0.0.1", port: port))
        try await withRedisServer(LocalRedisServer(port: port)) { _ in
            #expect(!isFree(host: "127.0.0.1", port: port))
            #expect(isFree(host: "127.251.3.1", port: port), "only that address is taken")
        }
        #expect(isFree(host: "127.0.0.1", port: port))
    }

    @Test(arguments: ["", "localhost", "127.0.0.300", "203.0.113.1"])
    func `nothing is free at an address that is not this machine's`(_ host: String) {
        #expect(!isFree(host: host, port: 12_345))
    }
}
