internal import Freshet
internal import Glibc
internal import Hiredis
internal import Synchronization

/// A `MemoryStore` behind a Unix socket, in this process: clients reach it as they reach any server.
///
/// `@unchecked Sendable` because the store and the connections belong to the server's thread; others `post`.
final class MemoryServer: @unchecked Sendable {
    private final class Connection {
        let number: Int
        let socket: Int32
        var requests = MemoryRequests()
        var replies = Bytes()
        /// What was sent since MULTI.
        var transaction: [[Bytes]]?
        var blocked: Blocked?
        /// Its socket's number may be another's.
        var isEnded = false

        init(number: Int, socket: Int32) { (self.number, self.socket) = (number, socket) }
    }

    /// A read that waits.
    private struct Blocked {
        /// Who came first is served first.
        let turn: Int
        let request: [Bytes]
        /// By the server's clock, which may stand still, and by the machine's, so that its client never takes it for dead.
        let until: Int
        let deadline: ContinuousClock.Instant
    }

    let path: String
    private let listener: Int32
    private let (wakeUp, signal): (Int32, Int32)
    private struct Inbox {
        var bodies: [@Sendable (MemoryStore) -> Void] = []
        var isStopping = false
        /// The thread has ended, and its descriptors may be others'.
        var isOver = false
    }
    private let inbox = Guarded(Inbox())
    private let store: MemoryStore
    private var connections: [Connection] = []
    private var accepted = 0
    private var turn = 0

    init(startingAt time: Timestamp) throws {
        path = "/tmp/freshet-memory-\(getpid())-\(String(UInt64.random(in: 0 ... .max), radix: 36)).sock"
        listener = try UnixSocket.listen(at: path)
        var ends: [Int32] = [-1, -1]
        let isPiped = unsafe pipe(&ends) == 0
        precondition(isPiped, "no descriptor left for the in-memory broker")
        (wakeUp, signal) = (ends[0], ends[1])
        store = MemoryStore(now: Int(time.milliseconds))
        UnixSocket.thread { self.run() }
    }

    /// Runs the body on the server's thread, between two commands.
    func post(_ body: @escaping @Sendable (MemoryStore) -> Void) {
        inbox.withLock { inbox in
            // Nobody else looks at the store any more.
            if inbox.isOver { return body(store) }
            inbox.bodies.append(body)
            wake()
        }
    }

    /// Runs the body on the server's thread and waits for what it returns.
    func ask<Answer: Sendable>(_ body: @escaping @Sendable (MemoryStore) -> Answer) async -> Answer {
        await withCheckedContinuation { continuation in post { continuation.resume(returning: body($0)) } }
    }

    func stop() {
        inbox.withLock { inbox in
            guard !inbox.isStopping else { return }
            inbox.isStopping = true
            wake()
        }
    }

    private func wake() {
        var byte: UInt8 = 0
        unsafe _ = write(signal, &byte, 1)
    }

    // MARK: - On the thread

    private func run() {
        while !inbox.withLock({ $0.isStopping }) {
            var polled = ([wakeUp, listener] + connections.map(\.socket)).map {
                pollfd(fd: $0, events: Int16(POLLIN), revents: 0)
            }
            unsafe poll(&polled, nfds_t(polled.count), patience)
            if polled[0].revents != 0 { drain() }
            for body in inbox.withLock({ inbox in
                defer { inbox.bodies = [] }
                return inbox.bodies
            }) { body(store) }
            let readable = Set(polled.dropFirst(2).filter { $0.revents != 0 }.map(\.fd))
            for connection in connections where readable.contains(connection.socket) { read(connection) }
            if polled[1].revents != 0 { accept() }
            serveBlocked()
        }
        for connection in connections { close(connection.socket) }
        inbox.withLock { inbox in
            inbox.isOver = true
            for body in inbox.bodies { body(store) }
            for descriptor in [listener, wakeUp, signal] { close(descriptor) }
        }
        unsafe unlink(path)
    }

    /// Milliseconds until a blocked read's time is up; -1 when none waits.
    private var patience: Int32 {
        guard let next = connections.compactMap({ $0.blocked?.deadline }).min() else { return -1 }
        let left = next - .now
        return Int32(
            clamping: left.components.seconds * 1000 + left.components.attoseconds / 1_000_000_000_000_000 + 1
        )
    }

    private func drain() {
        var bytes = [UInt8](repeating: 0, count: 512)
        unsafe _ = Glibc.read(wakeUp, &bytes, bytes.count)
    }

    private func accept() {
        let socket = Glibc.accept(listener, nil, nil)
        guard socket >= 0 else { return }
        accepted += 1
        connections.append(Connection(number: accepted, socket: socket))
    }

    private func read(_ connection: Connection) {
        // A request before it may have ended it.
        guard !connection.isEnded else { return }
        var bytes = [UInt8](repeating: 0, count: 65_536)
        let count = unsafe Glibc.read(connection.socket, &bytes, bytes.count)
        guard count > 0 else { return end(connection) }
        connection.requests.append(bytes[..<count])
        serve(connection)
    }

    private func end(_ connection: Connection) {
        guard !connection.isEnded else { return }
        connection.isEnded = true
        connection.blocked = nil
        close(connection.socket)
        connections.removeAll { $0 === connection }
    }

    /// Executes what has come, until a read blocks.
    private func serve(_ connection: Connection) {
        do throws(MemoryError) {
            while connection.blocked == nil, let request = try connection.requests.next() {
                execute(request, of: connection)?.write(to: &connection.replies)
            }
        } catch {
            MemoryReply.error(error.text).write(to: &connection.replies)
            _ = UnixSocket.send(connection.replies[...], to: connection.socket)
            return end(connection)
        }
        let replies = connection.replies
        connection.replies = []
        if !replies.isEmpty, !UnixSocket.send(replies[...], to: connection.socket) { end(connection) }
    }

    /// Nil when the reply comes later.
    private func execute(_ request: [Bytes], of connection: Connection) -> MemoryReply? {
        let name = request.first?.text.uppercased() ?? ""
        switch name {
        case "MULTI":
            connection.transaction = []
            return .ok
        case "EXEC":
            guard let requests = connection.transaction else { return .error("ERR EXEC without MULTI") }
            connection.transaction = nil
            return .array(requests.map(store.execute))
        case "CLIENT": return client(request, connection)
        default: break
        }
        if connection.transaction != nil {
            connection.transaction?.append(request)
            return .status("QUEUED")
        }
        let reply = store.execute(request)
        guard reply == .nullArray, name == "XREAD" || name == "XREADGROUP",
            let option = request.firstIndex(where: { $0.text.uppercased() == "BLOCK" }),
            option + 1 < request.count,
            let milliseconds = Int(request[option + 1].text)
        else { return reply }
        turn += 1
        connection.blocked = Blocked(
            turn: turn, request: request, until: store.now + milliseconds,
            deadline: .now + .milliseconds(milliseconds))
        return nil
    }

    private func client(_ request: [Bytes], _ connection: Connection) -> MemoryReply {
        switch request.dropFirst().first?.text.uppercased() {
        case "ID": return .integer(connection.number)
        case "UNBLOCK":
            guard let other = connections.first(where: { "\($0.number)" == request.last?.text }),
                other.blocked != nil
            else { return .integer(0) }
            release(other, .nullArray)
            return .integer(1)
        default: return .ok
        }
    }

    /// Ends a read that waited.
    private func release(_ connection: Connection, _ reply: MemoryReply) {
        connection.blocked = nil
        reply.write(to: &connection.replies)
        serve(connection)
    }

    /// Gives those that wait what has come meanwhile, who came first first.
    private func serveBlocked() {
        let waiting = connections.filter { $0.blocked != nil }
        for connection in waiting.sorted(by: { $0.blocked?.turn ?? 0 < $1.blocked?.turn ?? 0 }) {
            guard let blocked = connection.blocked else { continue }
            let reply = store.execute(blocked.request)
            if reply != .nullArray || store.now >= blocked.until || .now >= blocked.deadline {
                release(connection, reply)
            }
        }
    }
}
