internal import Glibc
internal import Hiredis
internal import Synchronization

/// Stands between clients and a server's Unix socket, and cuts their connections in the middle of a reply when it is told to.
///
/// Two threads for each connection, which end with it.
public final class ReplyCutter: Sendable {
    private final class Connection: Sendable {
        let client: Int32
        let server: Int32
        /// How many more bytes of replies pass; nil is any number.
        let left = Guarded<Int?>(nil)
        let open = Guarded(2)

        init(client: Int32, server: Int32) { (self.client, self.server) = (client, server) }

        func cut() {
            shutdown(client, Int32(SHUT_RDWR))
            shutdown(server, Int32(SHUT_RDWR))
        }

        /// One of the two directions has ended.
        func ended() {
            cut()
            let isLast = open.withLock { open in
                open -= 1
                return open == 0
            }
            guard isLast else { return }
            close(client)
            close(server)
        }
    }

    /// Where clients connect.
    public let path: String
    private let server: String
    private let listener: Int32
    private let connections = Guarded<[Connection]>([])
    private enum Withholding { case nothing, next, some }
    private let withholding = Guarded(Withholding.nothing)

    /// Passes everything between its own socket at this path and the server's.
    public init(at path: String, to server: String) throws {
        (self.path, self.server) = (path, server)
        let socket = try UnixSocket.listen(at: path)
        listener = socket
        UnixSocket.thread { [weak self] in
            while true {
                let client = accept(socket, nil, nil)
                guard client >= 0, let self else { return }
                self.pass(client)
            }
        }
    }

    deinit { stop() }

    /// How many connections there are.
    public var count: Int { connections.withLock { $0.filter { $0.open.withLock { $0 } > 0 }.count } }

    /// Cuts each connection as soon as so many more bytes of replies have passed; 0 is at once.
    public func cut(after bytes: Int) {
        let all = connections.withLock { connections in
            connections.removeAll { $0.open.withLock { $0 } == 0 }
            return connections
        }
        for connection in all {
            connection.left.withLock { $0 = bytes }
            if bytes == 0 { connection.cut() }
        }
    }

    /// Cuts the connection that sends something next, and keeps what it sent: it has left the client and is not at the server.
    public func withholdNext() { withholding.withLock { $0 = .next } }

    /// Gives the server what was kept.
    public func deliver() { withholding.withLock { $0 = .nothing } }

    /// Waits on the connection's own thread while its bytes are kept.
    private func withhold(_ client: Int32) {
        let isMeant = withholding.withLock { state in
            guard case .next = state else { return false }
            state = .some
            return true
        }
        guard isMeant else { return }
        shutdown(client, Int32(SHUT_RDWR))
        while withholding.withLock({ if case .some = $0 { true } else { false } }) { usleep(1000) }
    }

    /// Ends all connections, and takes no more.
    public func stop() {
        shutdown(listener, Int32(SHUT_RDWR))
        close(listener)
        cut(after: 0)
    }

    private func pass(_ client: Int32) {
        guard let upstream = UnixSocket.connect(to: server) else {
            close(client)
            return
        }
        let connection = Connection(client: client, server: upstream)
        connections.withLock { $0.append(connection) }
        UnixSocket.thread {
            Self.copy(from: client, to: upstream) { count in
                self.withhold(client)
                return count
            }
            connection.ended()
        }
        UnixSocket.thread {
            Self.copy(from: upstream, to: client) { count in
                connection.left.withLock { left in
                    guard let most = left else { return count }
                    left = most - min(most, count)
                    return min(most, count)
                }
            }
            connection.ended()
        }
    }

    /// Copies until either end is closed, or fewer bytes may pass than have come.
    private static func copy(from source: Int32, to target: Int32, allowing allowed: (Int) -> Int) {
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = unsafe read(source, &buffer, buffer.count)
            guard count > 0 else { return }
            let most = allowed(count)
            guard UnixSocket.send(buffer[..<most], to: target) else { return }
            if most < count { return }
        }
    }
}
