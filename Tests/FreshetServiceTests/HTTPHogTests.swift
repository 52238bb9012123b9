import Freshet
import FreshetTesting
import Glibc
import Logging
import Testing

@testable import FreshetService

/// Clients that send without an end, from threads of their own, and what becomes of Swift's shared pool
/// meanwhile.
@Suite(.serialized) struct HTTPHogTests {
    @Test func `headers without an end take no thread of Swift's pool`() async throws {
        let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let service = try await HTTPService.start(
            on: HTTPAddress(host: "127.0.0.1", port: 0), Endpoints(health: Health(), metrics: nil),
            limits: Limits(lifetime: .seconds(1)), logger: quiet)
        defer { service.stop() }
        let port = service.address.port
        let isOver = Record<Bool>()
        // As many as the pool has threads, and one more.
        let count = 3
        for _ in 0..<count {
            UnixSocket.thread { Self.sendForEver(to: port) { isOver.add($0) } }
        }
        var longest = Duration.zero
        let began = ContinuousClock.now
        while isOver.count < count || ContinuousClock.now - began < .seconds(2) {
            let asked = ContinuousClock.now
            await Task.detached {}.value
            longest = max(longest, ContinuousClock.now - asked)
            try await Task.sleep(for: .milliseconds(5))
            try #require(ContinuousClock.now - began < .seconds(60), "the server ends none of them")
        }
        print("a task waited for at most \(longest)")
        // With a server whose requests are read on the pool it is as long as they last.
        #expect(longest < .seconds(10))
        #expect(isOver.all.allSatisfy { $0 }, "the server ended each connection")
    }

    /// Says whether the server ended it before a gigabyte was sent.
    private static func sendForEver(to port: Int, _ over: (Bool) -> Void) {
        let file = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(file) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = UInt16(port).bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        let isConnected = unsafe withUnsafePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe connect(file, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
            }
        }
        var isOpen = isConnected && UnixSocket.send(Array("GET /livez HTTP/1.1\r\nX: ".utf8)[...], to: file)
        let chunk = [UInt8](repeating: UInt8(ascii: "a"), count: 65_536)
        for _ in 0..<16_384 where isOpen { isOpen = UnixSocket.send(chunk[...], to: file) }
        over(isConnected && !isOpen)
    }
}
