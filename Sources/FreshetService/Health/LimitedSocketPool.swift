internal import FlyingSocks
internal import Glibc
internal import Synchronization

/// What clients can take of a server.
struct Limits: Sendable {
    /// How long a connection lives that waits for its client.
    var lifetime = Duration.seconds(10)
    /// How many connections wait for their clients at most; more are closed.
    var connections = 128
}

/// FlyingFox's pool of sockets with `Limits`: a client that is slow, or silent, or many, takes only so much.
final class LimitedSocketPool: AsyncSocketPool {
    /// A descriptor's number is used again; the socket's inode tells whether it still is the same.
    private struct Connection {
        let inode: UInt
        let deadline: ContinuousClock.Instant
    }
    private let connections = Mutex<[Int32: Connection]>([:])
    private let limits: Limits
    private let pool = SocketPool<ePoll>.ePoll()

    init(_ limits: Limits) { self.limits = limits }

    func prepare() async throws { try await pool.prepare() }

    func run() async throws { try await pool.run() }

    func suspendSocket(_ socket: Socket, untilReadyFor events: Socket.Events) async throws {
        let file = socket.file.rawValue
        if Self.isListening(file) {
            // What has arrived and is not read stays in the client's hands: a request without an end cannot fill memory
            // before the time is up. Accepted sockets have it from the one that listens.
            try socket.setValue(8192, for: .receiveBufferSize)
            return try await pool.suspendSocket(socket, untilReadyFor: events)
        }
        let deadline = try deadline(of: file)
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { [pool] in try await pool.suspendSocket(socket, untilReadyFor: events) }
            tasks.addTask {
                try await Task.sleep(until: deadline, clock: .continuous)
                throw SocketError.disconnected
            }
            defer { tasks.cancelAll() }
            try await tasks.next()
        }
    }

    /// Throws when the time is up, or there are too many.
    private func deadline(of file: Int32) throws -> ContinuousClock.Instant {
        let (inode, now) = (Self.inode(of: file), ContinuousClock.now)
        let deadline = connections.withLock { connections -> ContinuousClock.Instant? in
            if let known = connections[file], known.inode == inode { return known.deadline }
            if connections.count >= limits.connections {
                connections = connections.filter { Self.inode(of: $0.key) == $0.value.inode }
            }
            guard connections.count < limits.connections else { return nil }
            connections[file] = Connection(inode: inode, deadline: now + limits.lifetime)
            return now + limits.lifetime
        }
        guard let deadline, now < deadline else { throw SocketError.disconnected }
        return deadline
    }

    private static func isListening(_ file: Int32) -> Bool {
        var (answer, length) = (Int32(0), socklen_t(MemoryLayout<Int32>.size))
        return unsafe getsockopt(file, SOL_SOCKET, SO_ACCEPTCONN, &answer, &length) == 0 && answer == 1
    }

    private static func inode(of file: Int32) -> UInt {
        var status = stat()
        return unsafe fstat(file, &status) == 0 ? UInt(status.st_ino) : 0
    }
}
