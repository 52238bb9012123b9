internal import Glibc
internal import Synchronization

/// A port on 127.0.0.1 that was free a moment ago.
///
/// None that the kernel gives to clients, which would take it before the server does, nor one of `LocalRedisNodes`; and none twice
/// in a process before all others had their turn.
public func freePort() -> Int {
    for _ in ownPorts {
        let turn = turns.wrappingAdd(1, ordering: .relaxed).newValue
        let port = ownPorts[ownPorts.startIndex + Int(turn % UInt(ownPorts.count))]
        if isFree(host: "127.0.0.1", port: port) { return port }
    }
    return boundPort(host: "127.0.0.1", port: 0) ?? 0
}

private let ownPorts = 30_001..<32_768
private let turns = Atomic(UInt.random(in: 0..<UInt(ownPorts.count)))

/// Whether a server could listen there a moment ago.
func isFree(host: String, port: Int) -> Bool { boundPort(host: host, port: UInt16(port)) != nil }

/// Binds a socket there (0 asks for any port), closes it, and returns the port; nil when it is taken.
private func boundPort(host: String, port: UInt16) -> Int? {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(descriptor) }
    // As Redis does: what only lingers in TIME_WAIT is free.
    var yes: Int32 = 1
    unsafe setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<Int32>.size))
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    guard unsafe inet_pton(AF_INET, host, &address.sin_addr) == 1 else { return nil }
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let bound: UInt16? = unsafe withUnsafeMutablePointer(to: &address) { pointer in
        unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
            guard unsafe bind(descriptor, generic, length) == 0,
                unsafe getsockname(descriptor, generic, &length) == 0
            else { return nil }
            return unsafe UnsafeRawPointer(generic).load(as: sockaddr_in.self).sin_port
        }
    }
    return bound.map { Int(UInt16(bigEndian: $0)) }
}
