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

    /// A connection, made and used on threads that may block.
    private static func connect(_ port: Int) async throws -> HTTPSocket {
        let connected = await BlockingThread.run {
            Result { () throws(HTTPSocket.Failure) in
                try HTTPSocket(
                    connectedTo: HTTPAddress(host: "127.0.0.1", port: port), until: .now + .seconds(60))
            }
        }
        return try #require(connected).get()
    }

    private static func send(_ text: String, on socket: HTTPSocket) async {
        _ = await BlockingThread.run { socket.write(Array(text.utf8)) }
    }

    /// All that comes until the server closes the connection.
    private static func rest(of socket: HTTPSocket) async throws -> String {
        let bytes = await BlockingThread.run {
            var bytes: [UInt8] = []
            while let more = socket.read(atMost: 4096), !more.isEmpty { bytes += more }
            return bytes
        }
        return String(decoding: try #require(bytes), as: UTF8.self)
    }

    private static func ask(_ request: String, _ port: Int) async throws -> String {
        let socket = try await connect(port)
        defer { socket.close() }
        await send("\(request) HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", on: socket)
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
        let limits = Limits(lifetime: .seconds(1), connections: 40)
        try await Self.serving(limits: limits) { port, _ in
            func answers() async throws -> Bool {
                try await Self.ask("GET /livez", port).hasPrefix("HTTP/1.1 200 ")
            }
            // Half requests, a silent one, and one that says a byte at a time.
            var waiting: [HTTPSocket] = []
            for number in 0..<30 {
                let socket = try await Self.connect(port)
                if number > 0 { await Self.send("GET /livez HTTP/1.1\r\nHo", on: socket) }
                waiting.append(socket)
            }
            #expect(try await answers())
            let trickle = try await Self.connect(port)
            UnixSocket.thread { while trickle.write([UInt8(ascii: "a")]) { usleep(50_000) } }
            let began = ContinuousClock.now
            for socket in waiting + [trickle] { #expect(try await Self.rest(of: socket).isEmpty) }
            #expect(ContinuousClock.now - began < .seconds(10), "all were closed by the server")
            for socket in waiting { socket.close() }

            // A header without an end, as fast as it goes.
            let endless = try await Self.connect(port)
            let isTaken = await BlockingThread.run {
                guard endless.write(Array("GET /livez HTTP/1.1\r\nX: ".utf8)) else { return false }
                let chunk = [UInt8](repeating: UInt8(ascii: "a"), count: 65_536)
                return (0..<10_000).allSatisfy { _ in endless.write(chunk) }
            }
            #expect(isTaken == false, "the server ends it")
            endless.close()
            #expect(try await answers())

            // More than there may be: the oldest are closed, and who comes later is served.
            let many = try await withThrowingTaskGroup(of: HTTPSocket.self) { tasks in
                for _ in 0..<200 { tasks.addTask { try await Self.connect(port) } }
                return try await tasks.reduce(into: []) { $0.append($1) }
            }
            #expect(try await answers())
            for socket in many { socket.close() }

            // Gone before the answer, and no HTTP at all.
            for _ in 0..<50 {
                let socket = try await Self.connect(port)
                await Self.send("GET /readyz?verbose HTTP/1.1\r\n\r\n", on: socket)
                socket.close()
            }
            for garbage in ["\r\n\r\n", "GET\r\n\r\n", "\u{0}\u{1}\u{2}\n\n", "GET /livez SMTP\r\n\r\n"] {
                let socket = try await Self.connect(port)
                await Self.send(garbage, on: socket)
                #expect(try await Self.rest(of: socket).hasPrefix("HTTP/1.1 400 "), "\(garbage)")
                socket.close()
            }
            #expect(try await answers())
        }
    }
}
