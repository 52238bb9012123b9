import FlyingSocks
import FoundationEssentials
import FreshetTesting
import Glibc
import Hiredis
import Logging
import Testing

@testable import FreshetService

@Suite(.timeLimit(.minutes(10))) struct HTTPServiceTests {
    private static let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    private static func serving(
        limits: Limits = Limits(), metrics: (@Sendable () async -> String)? = nil,
        _ body: (Int, Health) async throws -> Void
    ) async throws {
        let health = Health()
        let service = try await HTTPService.start(
            on: HTTPAddress(host: "127.0.0.1", port: 0), Endpoints(health: health, metrics: metrics),
            limits: limits, logger: quiet)
        defer { service.stop() }
        try await body(service.address.port, health)
    }

    private static func connect(_ port: Int) async throws -> AsyncSocket {
        try await AsyncSocket.connected(to: sockaddr_in.inet(ip4: "127.0.0.1", port: UInt16(port)))
    }

    /// All that comes until the server closes the connection.
    private static func rest(of socket: AsyncSocket) async throws -> String {
        var bytes: [UInt8] = []
        do {
            while true { bytes += try await socket.read(atMost: 4096) }
        } catch SocketError.disconnected {} catch SocketError.failed {}
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func ask(_ request: String, _ port: Int) async throws -> String {
        let socket = try await connect(port)
        defer { try? socket.close() }
        try await socket.write(Data("\(request) HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".utf8))
        return try await rest(of: socket)
    }

    @Test func `each path answers, others are 404, and nothing but GET and HEAD is allowed`() async throws {
        try await Self.serving(metrics: { "freshet_up 1\n" }) { port, health in
            let live = try await Self.ask("GET /livez", port)
            #expect(live.hasPrefix("HTTP/1.1 200 OK\r\n") && live.hasSuffix("\r\n\r\nok\n"), "\(live)")
            let verbose = try await Self.ask("GET /livez?verbose", port)
            #expect(verbose.hasSuffix("\r\n\r\n[+]process ok\nlivez check passed\n"), "\(verbose)")
            let ready = try await Self.ask("GET /readyz", port)
            #expect(ready.hasPrefix("HTTP/1.1 503 ") && ready.contains("[-]redis failed: not asked yet"))
            #expect(ready.contains("[+]draining ok\n") && ready.hasSuffix("readyz check failed\n"))
            let startup = try await Self.ask("GET /startupz", port)
            #expect(
                startup.hasPrefix("HTTP/1.1 503 ") && startup.contains("[-]migrations failed: not checked"))
            health.drains()
            #expect(try await Self.ask("GET /readyz", port).contains("[-]draining failed: the process is"))
            #expect(try await Self.ask("GET /livez", port).hasPrefix("HTTP/1.1 200 "))
            let metrics = try await Self.ask("GET /metrics", port)
            #expect(metrics.contains("Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"))
            #expect(metrics.hasSuffix("\r\n\r\nfreshet_up 1\n"))
            let head = try await Self.ask("HEAD /metrics", port)
            #expect(head.hasPrefix("HTTP/1.1 200 ") && head.hasSuffix("\r\n\r\n"))
            #expect(head.contains("Content-Length: 13\r\n"))
            for path in ["/", "/livezz", "/livez/", "/metrics/../livezz", "/%00"] {
                #expect(try await Self.ask("GET \(path)", port).hasPrefix("HTTP/1.1 404 "), "\(path)")
            }
            for method in ["POST", "DELETE", "PUT"] {
                let answer = try await Self.ask("\(method) /livez", port)
                #expect(
                    answer.hasPrefix("HTTP/1.1 405 ") && answer.contains("Allow: GET, HEAD\r\n"),
                    "\(method): \(answer)")
            }
        }
        try await Self.serving { port, _ in
            let none = try await Self.ask("GET /metrics", port)
            #expect(none.hasPrefix("HTTP/1.1 404 "))
        }
    }

    @Test func `a port that is taken is 78 and named`() async throws {
        try await Self.serving { port, _ in
            let address = HTTPAddress(host: "127.0.0.1", port: port)
            do {
                _ = try await HTTPService.start(
                    on: address, Endpoints(health: Health(), metrics: nil), logger: Self.quiet)
                Issue.record("two listen on one port")
            } catch let error as ToolError {
                #expect(error.status == .badConfiguration)
                #expect(error.description.contains("127.0.0.1:\(port)"), "\(error)")
                #expect(error.description.lowercased().contains("in use"), "\(error)")
            }
        }
    }

    @Test func `clients that are slow, silent, endless or rude cost nobody else anything`() async throws {
        let limits = Limits(lifetime: .seconds(1), connections: 40, interval: .milliseconds(50))
        try await Self.serving(limits: limits) { port, _ in
            func answersAtOnce() async throws -> Bool {
                let began = ContinuousClock.now
                let answer = try await Self.ask("GET /livez", port)
                return answer.hasPrefix("HTTP/1.1 200 ") && ContinuousClock.now - began < .milliseconds(900)
            }
            // Half requests, a silent one, and one that says a byte at a time.
            var waiting: [AsyncSocket] = []
            for number in 0..<30 {
                let socket = try await Self.connect(port)
                if number > 0 { try await socket.write(Data("GET /livez HTTP/1.1\r\nHo".utf8)) }
                waiting.append(socket)
            }
            #expect(try await answersAtOnce())
            let trickle = try await Self.connect(port)
            let trickling = Task {
                while !Task.isCancelled {
                    try await trickle.write(Data("a".utf8))
                    try await Task.sleep(for: .milliseconds(50))
                }
            }
            let began = ContinuousClock.now
            for socket in waiting + [trickle] { #expect(try await Self.rest(of: socket).isEmpty) }
            trickling.cancel()
            #expect(ContinuousClock.now - began < .seconds(10), "all were closed by the server")
            for socket in waiting + [trickle] { try? socket.close() }

            // A header without an end, as fast as it goes.
            let endless = try await Self.connect(port)
            try await endless.write(Data("GET /livez HTTP/1.1\r\nX: ".utf8))
            let chunk = Data(repeating: UInt8(ascii: "a"), count: 65_536)
            await #expect(throws: (any Error).self) {
                for _ in 0..<10_000 { try await endless.write(chunk) }
            }
            try? endless.close()
            #expect(try await answersAtOnce())

            // More than there may be: those are closed, and who comes later is served.
            // All at once: a connection that finds the queue full, where the server gets no turn, tries again after a second.
            let many = try await withThrowingTaskGroup(of: AsyncSocket.self) { tasks in
                for _ in 0..<200 { tasks.addTask { try await Self.connect(port) } }
                return try await tasks.reduce(into: []) { $0.append($1) }
            }
            try await eventually("there is room again", within: .seconds(30)) {
                (try? await answersAtOnce()) == true
            }
            for socket in many { try? socket.close() }

            // Gone before the answer, and no HTTP at all.
            for _ in 0..<50 {
                let socket = try await Self.connect(port)
                try socket.socket.setValue(1, for: .sendBufferSize)
                try await socket.write(Data("GET /readyz?verbose HTTP/1.1\r\n\r\n".utf8))
                try socket.close()
            }
            for garbage in [
                "\r\n\r\n", "GET\r\n\r\n", "\u{0}\u{1}\u{2}\n\n",
                "GET /livez HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
            ] {
                let socket = try await Self.connect(port)
                try await socket.write(Data(garbage.utf8))
                _ = try await Self.rest(of: socket)
                try? socket.close()
            }
            #expect(try await answersAtOnce())
        }
    }
}
