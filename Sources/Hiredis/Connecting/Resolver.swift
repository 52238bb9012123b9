internal import Dispatch
internal import Glibc

/// Names to numeric addresses. `getaddrinfo` blocks, so it runs on a thread of Dispatch, never on a loop.
enum Resolver {
    static func resolve(
        _ host: String, completion: @escaping @Sendable (Result<[String], RedisError>) -> Void
    ) {
        if isNumeric(host) { return completion(.success([host])) }
        DispatchQueue.global().async { completion(lookUp(host)) }
    }

    static func isNumeric(_ host: String) -> Bool {
        var buffer = in6_addr()
        return unsafe inet_pton(AF_INET, host, &buffer) == 1 || inet_pton(AF_INET6, host, &buffer) == 1
    }

    private static func lookUp(_ host: String) -> Result<[String], RedisError> {
        var hints = unsafe addrinfo()
        unsafe hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        let result = unsafe getaddrinfo(host, nil, &hints, &list)
        defer { if let list = unsafe list { unsafe freeaddrinfo(list) } }
        guard result == 0 else {
            let reason = unsafe String(cString: gai_strerror(result))
            return .failure(RedisError(.connectionFailed, "\(host): \(reason)"))
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
                let address = String(
                    decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
                if !addresses.contains(address) { addresses.append(address) }
            }
            unsafe next = entry.pointee.ai_next
        }
        return .success(addresses)
    }
}
