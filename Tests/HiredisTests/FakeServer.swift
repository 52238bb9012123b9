import FreshetTesting
import Glibc

@testable import Hiredis

/// A server of a few lines, for what no real one says: it hands each connection to a closure, on a thread of its own.
final class FakeServer: Sendable {
    let path = "/tmp/freshet-fake-\(String(UInt64.random(in: 0 ... .max), radix: 36)).sock"
    private let listener: UnixListener
    private let accepted: Record<Int32>

    /// - Parameter serve: gets the number of the connection, from 0, and its descriptor, which is closed afterwards.
    init(serve: @escaping @Sendable (Int, Int32) -> Void) {
        let accepted = Record<Int32>()
        self.accepted = accepted
        do {
            listener = try UnixListener(at: path) { connection in
                let number = accepted.count
                accepted.add(connection)
                UnixSocket.thread {
                    serve(number, connection)
                    close(connection)
                }
            }
        } catch { preconditionFailure("\(error)") }
    }

    /// How many connections there were so far.
    var connections: Int { accepted.count }

    func stop() {
        listener.stop()
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
