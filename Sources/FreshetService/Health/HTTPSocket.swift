internal import Glibc

/// A TCP socket for one exchange, with a moment at which all waiting for it ends.
///
/// Reading and writing block the calling thread, which is a `BlockingThread`.
struct HTTPSocket: Sendable {
    /// What went wrong, in the system's words.
    struct Failure: Error { let reason: String }

    let file: Int32
    var deadline: ContinuousClock.Instant

    private static func failure() -> Failure { Failure(reason: unsafe String(cString: strerror(errno))) }

    /// A socket that listens there.
    static func listening(on address: HTTPAddress) throws(Failure) -> Int32 {
        let file = try open(address)
        var yes: Int32 = 1
        unsafe setsockopt(file, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<Int32>.size))
        guard unsafe withAddress(address, { unsafe bind(file, $0, $1) }) == 0, listen(file, SOMAXCONN) == 0
        else {
            let failure = failure()
            Glibc.close(file)
            throw failure
        }
        return file
    }

    /// A connection to a process that listens there.
    init(connectedTo address: HTTPAddress, until deadline: ContinuousClock.Instant) throws(Failure) {
        let file = try Self.open(address)
        self.init(file: file, deadline: deadline)
        // Linux holds a connect to the time that sending may take.
        let left = deadline - .now
        var limit = timeval(
            tv_sec: Int(left.components.seconds),
            tv_usec: Int(left.components.attoseconds / 1_000_000_000_000))
        unsafe setsockopt(file, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        guard unsafe Self.withAddress(address, { unsafe connect(file, $0, $1) }) == 0 else {
            let failure = Self.failure()
            Glibc.close(file)
            throw failure
        }
    }

    init(file: Int32, deadline: ContinuousClock.Instant) { (self.file, self.deadline) = (file, deadline) }

    func close() { Glibc.close(file) }

    /// The next bytes; none at the end of the connection. Nil when they do not come in time.
    func read(atMost count: Int) -> [UInt8]? {
        while wait(for: POLLIN) {
            var bytes = [UInt8](repeating: 0, count: count)
            let received = unsafe recv(file, &bytes, count, Int32(MSG_DONTWAIT))
            if received >= 0 { return Array(bytes.prefix(received)) }
            guard errno == EAGAIN || errno == EINTR else { return [] }
        }
        return nil
    }

    /// Writes all of it; false when it is not taken in time, or the peer has gone.
    func write(_ bytes: [UInt8]) -> Bool {
        var rest = bytes[...]
        while !rest.isEmpty {
            guard wait(for: POLLOUT) else { return false }
            let sent = unsafe rest.withUnsafeBytes {
                unsafe send(file, $0.baseAddress, $0.count, Int32(MSG_DONTWAIT | MSG_NOSIGNAL))
            }
            if sent > 0 {
                rest = rest.dropFirst(sent)
            } else if errno != EAGAIN && errno != EINTR {
                return false
            }
        }
        return true
    }

    private func wait(for events: Int32) -> Bool {
        while true {
            let left = deadline - .now
            guard left > .zero else { return false }
            var polled = pollfd(fd: file, events: Int16(events), revents: 0)
            let milliseconds =
                left.components.seconds * 1000 + left.components.attoseconds / 1_000_000_000_000_000
            let ready = unsafe poll(&polled, 1, Int32(clamping: milliseconds + 1))
            if ready > 0 { return true }
            if ready < 0 && errno != EINTR { return false }
        }
    }

    private static func open(_ address: HTTPAddress) throws(Failure) -> Int32 {
        let file = socket(
            address.isVersion6 ? AF_INET6 : AF_INET,
            Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard file >= 0 else { throw failure() }
        return file
    }

    /// The port that a socket is bound to.
    static func port(of file: Int32) -> Int {
        var address = sockaddr_in6()
        var length = socklen_t(MemoryLayout<sockaddr_in6>.size)
        _ = unsafe withUnsafeMutablePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe getsockname(file, $0, &length)
            }
        }
        // The port stands in the same place for both families.
        return Int(UInt16(bigEndian: address.sin6_port))
    }

    private static func withAddress<R>(
        _ address: HTTPAddress, _ call: (UnsafePointer<sockaddr>, socklen_t) -> R
    ) -> R {
        let port = UInt16(address.port).bigEndian
        if address.isVersion6 {
            var six = sockaddr_in6()
            six.sin6_family = sa_family_t(AF_INET6)
            six.sin6_port = port
            _ = unsafe inet_pton(AF_INET6, address.host, &six.sin6_addr)
            return unsafe withUnsafePointer(to: &six) { pointer in
                unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    unsafe call($0, socklen_t(MemoryLayout<sockaddr_in6>.size))
                }
            }
        }
        var four = sockaddr_in()
        four.sin_family = sa_family_t(AF_INET)
        four.sin_port = port
        _ = unsafe inet_pton(AF_INET, address.host, &four.sin_addr)
        return unsafe withUnsafePointer(to: &four) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe call($0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
    }
}
