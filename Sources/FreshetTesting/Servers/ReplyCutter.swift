internal import Glibc
internal import Hiredis
internal import Synchronization

/// Stands between clients and a server's Unix socket, and cuts their connections in the middle of a reply when it is told to.
///
/// Two threads for each connection, which end with it.
public final class ReplyCutter: Sendable {
    /// Both ends of a connection. They are closed with the last of its threads, and not touched after that: their numbers
    /// may be those of others.
    private final class Connection: Sendable {
        let client: Int32
        let server: Int32
        /// How many more bytes of replies pass; nil is any number.
        let left = Guarded<Int?>(nil)
        /// Whether everything is dropped, without an end.
        let isSilent = Guarded(false)
        private let threads = Guarded(2)

        init(client: Int32, server: Int32) { (self.client, self.server) = (client, server) }

        var isOpen: Bool { threads.withLock { $0 > 0 } }

        func cut() {
            isSilent.withLock { $0 = false }
            threads.withLock { if $0 > 0 { shutDown() } }
        }

        /// One of the two directions has ended.
        func ended() {
            threads.withLock { threads in
                shutDown()
                threads -= 1
                guard threads == 0 else { return }
                close(client)
                close(server)
            }
        }

        private func shutDown() {
            shutdown(client, Int32(SHUT_RDWR))
            shutdown(server, Int32(SHUT_RDWR))
        }
    }

    private final class Shared: Sendable {
        let connections = Guarded<[Connection]>([])
        let withholding = Guarded(Withholding.nothing)
    }
    private enum Withholding { case nothing, next, some }

    /// Where clients connect.
    public let path: String
    private let listener: UnixListener
    private let shared: Shared

    /// Passes everything between its own socket at this path and the server's.
    public init(at path: String, to server: String) throws {
        self.path = path
        let shared = Shared()
        self.shared = shared
        listener = try UnixListener(at: path) { client in
            guard let upstream = UnixSocket.connect(to: server) else {
                close(client)
                return
            }
            let connection = Connection(client: client, server: upstream)
            shared.connections.withLock { $0.append(connection) }
            Self.pass(connection, shared)
        }
    }

    deinit { stop() }

    /// How many connections there are.
    public var count: Int { shared.connections.withLock { $0.filter(\.isOpen).count } }

    /// Cuts each connection as soon as so many more bytes of replies have passed; 0 is at once.
    public func cut(after bytes: Int) {
        let all = shared.connections.withLock { connections in
            connections.removeAll { !$0.isOpen }
            return connections
        }
        for connection in all {
            connection.left.withLock { $0 = bytes }
            if bytes == 0 { connection.cut() }
        }
    }

    /// Cuts the connection that sends something next, and keeps what it sent: it has left the client and is not at the server.
    public func withholdNext() { shared.withholding.withLock { $0 = .next } }

    /// Drops what the connections of this moment send from now on, in both directions, and ends none of them:
    /// a network that is cut off without a reset. New ones are served.
    public func silence() {
        for connection in shared.connections.withLock({ $0.filter(\.isOpen) }) {
            connection.isSilent.withLock { $0 = true }
        }
    }

    /// Gives the server what was kept.
    public func deliver() { shared.withholding.withLock { $0 = .nothing } }

    /// Waits on the connection's own thread while its bytes are kept.
    private static func withhold(_ client: Int32, _ shared: Shared) {
        let isMeant = shared.withholding.withLock { state in
            guard case .next = state else { return false }
            state = .some
            return true
        }
        guard isMeant else { return }
        shutdown(client, Int32(SHUT_RDWR))
        while shared.withholding.withLock({ if case .some = $0 { true } else { false } }) { usleep(1000) }
    }

    /// Ends all connections, and takes no more.
    public func stop() {
        listener.stop()
        cut(after: 0)
    }

    private static func pass(_ connection: Connection, _ shared: Shared) {
        UnixSocket.thread {
            copy(from: connection.client, to: connection.server, of: connection) { count in
                withhold(connection.client, shared)
                return count
            }
            connection.ended()
        }
        UnixSocket.thread {
            copy(from: connection.server, to: connection.client, of: connection) { count in
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
    private static func copy(
        from source: Int32, to target: Int32, of connection: Connection, allowing allowed: (Int) -> Int
    ) {
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = unsafe read(source, &buffer, buffer.count)
            if connection.isSilent.withLock({ $0 }) {
                if count > 0 { continue }
                // Nor does the other side hear of the end.
                while connection.isSilent.withLock({ $0 }) { usleep(10_000) }
            }
            guard count > 0 else { return }
            let most = allowed(count)
            guard UnixSocket.send(buffer[..<most], to: target) else { return }
            if most < count { return }
        }
    }
}
