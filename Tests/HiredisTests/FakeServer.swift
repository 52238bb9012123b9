import FreshetTesting
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
        do { listener = try UnixSocket.listen(at: path) } catch { preconditionFailure("\(error)") }
        UnixSocket.thread { [self, listener] in
            while case let connection = accept(listener, nil, nil), connection >= 0 {
                let number = accepted.wrappingAdd(1, ordering: .relaxed).oldValue
                UnixSocket.thread {
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
        UnixSocket.send(bytes[...], to: connection)
    }
}
