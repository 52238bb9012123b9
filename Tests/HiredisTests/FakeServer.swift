import Glibc
import Synchronization

@testable import Hiredis

/// A server of a few lines, for what no real one says: it hands each connection to a closure, on a thread of its own.
final class FakeServer: Sendable {
    let path = "/tmp/freshet-fake-\(String(UInt64.random(in: 0 ... .max), radix: 36)).sock"
    private let listener: Int32
    private let accepted = Atomic(0)

    /// - Parameter serve: gets the number of the connection, from 0, and its descriptor, which is closed afterwards.
    init(serve: @escaping @Sendable (Int, Int32) -> Void) {
        listener = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: path.utf8) }
        let bound = unsafe withUnsafePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe bind(listener, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        precondition(bound == 0 && listen(listener, 16) == 0, "the fake server cannot listen")
        start { [self, listener] in
            while case let connection = accept(listener, nil, nil), connection >= 0 {
                let number = accepted.wrappingAdd(1, ordering: .relaxed).oldValue
                start {
                    serve(number, connection)
                    close(connection)
                }
            }
        }
    }

    /// How many connections there were so far.
    var connections: Int { accepted.load(ordering: .relaxed) }

    func stop() {
        shutdown(listener, Int32(SHUT_RDWR))
        close(listener)
        unsafe unlink(path)
    }

    var configuration: RedisConfiguration { RedisConfiguration(address: .unix(path: path)) }

    /// Reads what has come, at most 64 KiB; empty at the end.
    static func read(_ connection: Int32) -> [UInt8] {
        unsafe [UInt8](unsafeUninitializedCapacity: 64 * 1024) { buffer, count in
            unsafe count = max(0, Glibc.read(connection, buffer.baseAddress, buffer.count))
        }
    }

    /// Writes all of it; false when the peer has gone.
    @discardableResult
    static func write(_ bytes: [UInt8], to connection: Int32) -> Bool {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = unsafe rest.withUnsafeBytes {
                unsafe send(connection, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { return false }
            rest = rest.dropFirst(count)
        }
        return true
    }
}

/// A thread that blocks must not be one of Swift's.
private func start(_ body: @escaping @Sendable () -> Void) {
    final class Box: Sendable {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }
    var thread = pthread_t()
    let box = unsafe Unmanaged.passRetained(Box(body)).toOpaque()
    unsafe pthread_create(
        &thread, nil,
        { pointer in
            if let pointer = unsafe pointer {
                unsafe Unmanaged<Box>.fromOpaque(pointer).takeRetainedValue().body()
            }
            return nil
        }, box)
    pthread_detach(thread)
}
