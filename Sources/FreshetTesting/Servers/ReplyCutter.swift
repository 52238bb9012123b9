internal import Glibc
internal import Hiredis
internal import Synchronization

/// Stands between clients and a server's Unix socket, and cuts their connections in the middle of a reply when it is told to.
///
/// Two threads for each connection, which end with it.
public final class ReplyCutter: Sendable {
    /// A socket that could not be opened.
    public struct ListenError: Error, CustomStringConvertible {
        /// The path and the reason.
        public let description: String
    }

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

    /// Passes everything between its own socket at this path and the server's.
    public init(at path: String, to server: String) throws(ListenError) {
        (self.path, self.server) = (path, server)
        unsafe unlink(path)
        let socket = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        listener = socket
        guard socket >= 0, unsafe Self.named(path, { unsafe bind(socket, $0, $1) }) == 0,
            listen(socket, 64) == 0
        else {
            throw ListenError(description: "\(path): \(unsafe String(cString: strerror(errno)))")
        }
        Self.thread { [weak self] in
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

    /// Ends all connections, and takes no more.
    public func stop() {
        shutdown(listener, Int32(SHUT_RDWR))
        close(listener)
        cut(after: 0)
    }

    private func pass(_ client: Int32) {
        let upstream = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        guard upstream >= 0, unsafe Self.named(server, { unsafe connect(upstream, $0, $1) }) == 0 else {
            close(client)
            if upstream >= 0 { close(upstream) }
            return
        }
        let connection = Connection(client: client, server: upstream)
        connections.withLock { $0.append(connection) }
        Self.thread {
            Self.copy(from: client, to: upstream) { $0 }
            connection.ended()
        }
        Self.thread {
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
            var sent = 0
            while sent < most {
                let written = unsafe buffer.withUnsafeBytes { bytes in
                    unsafe send(
                        target, bytes.baseAddress?.advanced(by: sent), most - sent,
                        Int32(MSG_NOSIGNAL))
                }
                guard written > 0 else { return }
                sent += written
            }
            if most < count { return }
        }
    }

    private static func named(_ path: String, _ call: (UnsafePointer<sockaddr>, socklen_t) -> Int32) -> Int32
    {
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        unsafe withUnsafeMutableBytes(of: &address.sun_path) { bytes in
            for (index, byte) in path.utf8.prefix(bytes.count - 1).enumerated() { unsafe bytes[index] = byte }
        }
        return unsafe withUnsafePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe call($0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
    }

    private static func thread(_ body: @escaping @Sendable () -> Void) {
        final class Box: Sendable {
            let body: @Sendable () -> Void
            init(_ body: @escaping @Sendable () -> Void) { self.body = body }
        }
        var thread = pthread_t()
        let context = unsafe Unmanaged.passRetained(Box(body)).toOpaque()
        let result = unsafe pthread_create(
            &thread, nil,
            { context in
                guard let context = unsafe context else { return nil }
                unsafe Unmanaged<Box>.fromOpaque(context).takeRetainedValue().body()
                return nil
            }, context)
        precondition(result == 0, "no thread left for a connection")
        pthread_detach(thread)
    }
}
