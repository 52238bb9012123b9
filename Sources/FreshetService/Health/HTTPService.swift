internal import Glibc
internal import Logging
internal import Synchronization

/// What clients can take of a server.
struct Limits: Sendable {
    /// How long a connection lives, whatever it does.
    var lifetime = Duration.seconds(10)
    /// How many there are at most; the oldest go.
    var connections = 128
}

/// The process's HTTP server, for the few short questions of `Endpoints`: one request a connection, without a
/// body.
///
/// One thread takes connections, and each has one of its own while it lives: no client blocks or occupies a
/// thread of Swift's pool, whatever it sends. Only answers are worked out there.
final class HTTPService: Sendable {
    /// Where it listens, with the port that it got.
    let address: HTTPAddress
    private let listener: Int32
    private let connections: HTTPConnections

    /// Listens. Throws `badConfiguration` when it cannot, because another program has the port.
    static func start(
        on address: HTTPAddress, _ endpoints: Endpoints, limits: Limits = Limits(), logger: Logger
    ) async throws -> HTTPService {
        // What is written to a socket or pipe that is closed is an error, not the end of the process.
        _ = signal(SIGPIPE, SIG_IGN)
        let listener: Int32
        do throws(HTTPSocket.Failure) { listener = try HTTPSocket.listening(on: address) } catch {
            throw ToolError(.badConfiguration, "cannot answer HTTP on \(address): \(error.reason)")
        }
        let service = HTTPService(
            HTTPAddress(host: address.host, port: HTTPSocket.port(of: listener)), listener,
            HTTPConnections(endpoints, limits))
        let connections = service.connections
        guard BlockingThread.start({ Self.accept(on: listener, into: connections, logger) }) else {
            Glibc.close(listener)
            throw ToolError(.failed, "cannot answer HTTP on \(address): no thread left")
        }
        return service
    }

    private init(_ address: HTTPAddress, _ listener: Int32, _ connections: HTTPConnections) {
        (self.address, self.listener, self.connections) = (address, listener, connections)
    }

    deinit { stop() }

    /// Stops at once.
    func stop() {
        // The thread that accepts closes the socket: until then its number is no other's.
        if connections.stop() { shutdown(listener, Int32(SHUT_RDWR)) }
    }

    private static func accept(on listener: Int32, into connections: HTTPConnections, _ logger: Logger) {
        defer { Glibc.close(listener) }
        var isFailing = false
        while !connections.isStopped {
            let file = Glibc.accept(listener, nil, nil)
            if file >= 0 {
                _ = fcntl(file, F_SETFD, FD_CLOEXEC)
                isFailing = false
                connections.serve(file)
                continue
            }
            let reason = errno
            guard reason != EINTR, reason != ECONNABORTED, !connections.isStopped else { continue }
            // No descriptor or no memory is left: others may give some back.
            if !isFailing {
                logger.warning(
                    "HTTP: cannot take connections",
                    metadata: ["reason": "\(unsafe String(cString: strerror(reason)))"])
            }
            isFailing = true
            usleep(100_000)
        }
    }
}
