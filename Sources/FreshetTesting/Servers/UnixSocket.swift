internal import Glibc
internal import Hiredis
internal import Synchronization

/// Unix sockets, and the threads that block on them.
package enum UnixSocket {
    /// A socket that could not be opened.
    package struct ListenError: Error, CustomStringConvertible {
        /// The path and the reason.
        package let description: String
    }

    /// A listening socket at this path, where nothing else stays.
    package static func listen(at path: String) throws(ListenError) -> Int32 {
        unsafe unlink(path)
        let listener = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard listener >= 0, unsafe named(path, { unsafe bind(listener, $0, $1) }) == 0,
            Glibc.listen(listener, 64) == 0
        else {
            let reason = unsafe String(cString: strerror(errno))
            if listener >= 0 { close(listener) }
            throw ListenError(description: "\(path): \(reason)")
        }
        return listener
    }

    /// A socket that is connected to this path; nil when nobody listens there.
    package static func connect(to path: String) -> Int32? {
        let connection = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard connection >= 0 else { return nil }
        guard unsafe named(path, { unsafe Glibc.connect(connection, $0, $1) }) == 0 else {
            close(connection)
            return nil
        }
        return connection
    }

    /// Writes all of it; false when the peer has gone.
    package static func send(_ bytes: ArraySlice<UInt8>, to socket: Int32) -> Bool {
        var rest = bytes
        while !rest.isEmpty {
            let count = unsafe rest.withUnsafeBytes {
                unsafe Glibc.send(socket, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { return false }
            rest = rest.dropFirst(count)
        }
        return true
    }

    /// A thread that may block: none of Swift's.
    package static func thread(_ body: @escaping @Sendable () -> Void) {
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
}

/// Takes connections at a path, on a thread of its own, until it is stopped.
package final class UnixListener: Sendable {
    private final class Listening: Sendable {
        /// Nil when it is closed: its number may be another socket's the next moment.
        let socket: Guarded<Int32?>

        init(_ socket: Int32) { self.socket = Guarded(socket) }

        func stop() { socket.withLock { if let socket = $0 { shutdown(socket, Int32(SHUT_RDWR)) } } }

        func close() {
            socket.withLock { socket in
                if let socket { Glibc.close(socket) }
                socket = nil
            }
        }
    }
    private let listening: Listening

    /// - Parameter serve: gets each connection, which is its own to close, on the thread that takes them.
    package init(at path: String, serve: @escaping @Sendable (Int32) -> Void) throws(UnixSocket.ListenError) {
        let socket = try UnixSocket.listen(at: path)
        let listening = Listening(socket)
        self.listening = listening
        UnixSocket.thread {
            while case let connection = accept(socket, nil, nil), connection >= 0 { serve(connection) }
            // Here, where nobody takes connections from it any more.
            listening.close()
        }
    }

    deinit { stop() }

    /// Takes no more; once or often.
    package func stop() { listening.stop() }
}
