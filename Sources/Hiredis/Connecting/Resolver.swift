internal import Dispatch
internal import Glibc

/// Addresses to routes: names to numeric addresses, PEM files to a TLS context. Both block, so they run on a thread of
/// Dispatch, never on a loop.
enum Resolver {
    static func route(
        to server: RedisConfiguration.Address, tls: RedisTLS?,
        completion: @escaping @Sendable (Result<Route, RedisError>) -> Void
    ) {
        let host: String
        switch server {
        case .unix(let path):
            return completion(.success(Route(server: server, addresses: [path], security: nil)))
        case .tcp(let name, _): host = name
        }
        if tls == nil && isNumeric(host) {
            return completion(.success(Route(server: server, addresses: [host], security: nil)))
        }
        DispatchQueue.global().async {
            completion(
                Result { () throws(RedisError) in
                    let addresses = isNumeric(host) ? [host] : try lookUp(host)
                    let security = try tls.map { tls throws(RedisError) in try TLSContext(tls) }
                    return Route(server: server, addresses: addresses[...], security: security)
                })
        }
    }

    static func isNumeric(_ host: String) -> Bool {
        var buffer = in6_addr()
        return unsafe inet_pton(AF_INET, host, &buffer) == 1 || inet_pton(AF_INET6, host, &buffer) == 1
    }

    private static func lookUp(_ host: String) throws(RedisError) -> [String] {
        var hints = unsafe addrinfo()
        unsafe hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        let result = unsafe getaddrinfo(host, nil, &hints, &list)
        defer { if let list = unsafe list { unsafe freeaddrinfo(list) } }
        guard result == 0 else {
            let reason = unsafe String(cString: gai_strerror(result))
            throw RedisError(.connectionFailed, "\(host): \(reason)")
        }
        var addresses: [String] = []
        var next = unsafe list
        while let entry = unsafe next {
            var text = [CChar](repeating: 0, count: Int(NI_MAXHOST))
            if unsafe getnameinfo(
                entry.pointee.ai_addr, entry.pointee.ai_addrlen, &text, socklen_t(text.count), nil, 0,
                NI_NUMERICHOST)
                == 0
            {
                let address = String(nullTerminated: text)
                if !addresses.contains(address) { addresses.append(address) }
            }
            unsafe next = entry.pointee.ai_next
        }
        return addresses
    }
}

extension String {
    /// The text that C has written into this buffer.
    init(nullTerminated text: [CChar]) {
        self.init(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
