internal import FoundationEssentials
internal import Glibc

/// What clients can take of a server.
struct Limits: Sendable {
    /// How long a connection lives, whatever it does.
    var lifetime = Duration.seconds(10)
    /// How many there are at most; the oldest go.
    var connections = 128
    /// How often it is looked.
    var interval = Duration.milliseconds(500)
}

/// Ends the connections to a port of this process that have been there for too long, and the oldest when there are too many.
///
/// FlyingFox lets nobody near its connections, so they are found among the process's descriptors. It sees that they were
/// shut down and closes them itself. A number that another socket takes in the moment between look and shutdown would lose
/// that one its connection, which everything here survives.
struct ConnectionWatch: Sendable {
    let port: Int
    let limits: Limits

    /// Looks until it is cancelled.
    func run() async {
        // By inode: a descriptor's number is used again.
        var firstSeen: [UInt: ContinuousClock.Instant] = [:]
        repeat {
            let (now, present) = (ContinuousClock.now, connections())
            let known = firstSeen
            firstSeen = Dictionary(
                present.map { ($0.inode, known[$0.inode] ?? now) }, uniquingKeysWith: { first, _ in first })
            let byAge = present.sorted { firstSeen[$0.inode] ?? now < firstSeen[$1.inode] ?? now }
            for (index, connection) in byAge.enumerated() {
                let isOld = now - (firstSeen[connection.inode] ?? now) >= limits.lifetime
                if isOld || byAge.count - index > limits.connections {
                    _ = shutdown(connection.file, Int32(SHUT_RDWR))
                }
            }
        } while (try? await Task.sleep(for: limits.interval)) != nil
    }

    private func connections() -> [(file: Int32, inode: UInt)] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd")) ?? []
        return names.compactMap { name in
            var status = stat()
            guard let file = Int32(name), localPort(of: file) == port else { return nil }
            if isListening(file) {
                narrow(file)
                return nil
            }
            guard unsafe fstat(file, &status) == 0 else { return nil }
            return (file, UInt(status.st_ino))
        }
    }

    /// Nil for what is no socket of TCP.
    private func localPort(of file: Int32) -> Int? {
        var address = sockaddr_in6()
        var length = socklen_t(MemoryLayout<sockaddr_in6>.size)
        let outcome = unsafe withUnsafeMutablePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
                unsafe getsockname(file, pointer, &length)
            }
        }
        // The port stands in the same place for both.
        guard outcome == 0, [AF_INET, AF_INET6].contains(Int32(address.sin6_family)) else { return nil }
        return Int(UInt16(bigEndian: address.sin6_port))
    }

    /// What has arrived and is not read stays small: it is read to its end also after the shutdown. Sockets have it from the one
    /// that accepts them.
    private func narrow(_ listener: Int32) {
        var size = Int32(4096)
        _ = unsafe setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &size, socklen_t(MemoryLayout<Int32>.size))
    }

    private func isListening(_ file: Int32) -> Bool {
        var (answer, length) = (Int32(0), socklen_t(MemoryLayout<Int32>.size))
        return unsafe getsockopt(file, SOL_SOCKET, SO_ACCEPTCONN, &answer, &length) == 0 && answer == 1
    }
}
