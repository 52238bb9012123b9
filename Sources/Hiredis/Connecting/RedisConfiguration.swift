/// Where a server is and how to talk to it.
public struct RedisConfiguration: Sendable {
    /// Where the server listens.
    public enum Address: Sendable, Hashable, CustomStringConvertible {
        /// A host name or a numeric address (IPv4 or IPv6), and a port.
        case tcp(host: String, port: Int)
        /// The path of a Unix socket.
        case unix(path: String)

        /// As in a URL.
        public var description: String {
            switch self {
            case .tcp(let host, let port): host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
            case .unix(let path): path
            }
        }
    }

    /// Where the server listens.
    public var address: Address
    /// The ACL user; nil for the default user.
    public var user: String?
    /// The password; nil when the server asks for none. It appears in no log and no error.
    public var password: String?
    /// The database number.
    public var database = 0
    /// What `CLIENT LIST` shows. No spaces.
    public var clientName: String?
    /// How long one attempt to connect may take, greeting included. 5 s by default.
    public var connectTimeout = Duration.seconds(5)
    /// How long a command may wait for a connection and its reply, unless the call says otherwise. 10 s by default.
    public var commandTimeout = Duration.seconds(10)
    /// The largest reply taken, in bytes; a larger one ends the connection. 512 MiB by default, the server's own limit.
    public var maxReplyBytes = 512 * 1024 * 1024

    /// A server at this address.
    public init(address: Address) { self.address = address }

    /// The address without credentials, for logs and errors.
    public var displayName: String {
        switch address {
        case .tcp: "redis://\(address)\(database == 0 ? "" : "/\(database)")"
        case .unix: "unix://\(address)\(database == 0 ? "" : "?db=\(database)")"
        }
    }
}

extension RedisConfiguration {
    /// A server by its URL: `redis://[user:password@]host[:port][/database]`, or
    /// `unix://[user:password@]/path[?db=number]`. Options behind `?`: `client-name`, and `connect-timeout` and
    /// `command-timeout` in seconds. User and password are percent-encoded where they hold `:`, `@`, `/` or `%`.
    public init(url: String) throws(RedisError) {
        guard let mark = url.range(of: "://") else {
            throw Self.invalid("expected redis://host:port or unix:///path")
        }
        let scheme = url[..<mark.lowerBound]
        var rest = url[mark.upperBound...]
        var options: [(name: Substring, value: String)] = []
        if let query = rest.firstIndex(of: "?") {
            for pair in rest[rest.index(after: query)...].split(separator: "&") {
                let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
                options.append((parts[0], try Self.decoded(parts.count == 2 ? parts[1] : "")))
            }
            rest = rest[..<query]
        }
        var credentials: Substring?
        if let at = rest.lastIndex(of: "@") {
            credentials = rest[..<at]
            rest = rest[rest.index(after: at)...]
        }
        switch scheme {
        case "redis", "valkey":
            let slash = rest.firstIndex(of: "/")
            self.init(address: try Self.hostAndPort(rest[..<(slash ?? rest.endIndex)]))
            if let slash {
                let text = rest[rest.index(after: slash)...]
                if !text.isEmpty { database = try Self.number(text, named: "database") }
            }
        case "unix", "redis+unix", "valkey+unix":
            guard rest.hasPrefix("/") else { throw Self.invalid("a unix:// URL needs an absolute path") }
            self.init(address: .unix(path: try Self.decoded(rest)))
        default:
            throw Self.invalid("the scheme '\(scheme)' is not one of redis, unix")
        }
        if let credentials {
            let parts = credentials.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            let name = try Self.decoded(parts[0])
            user = name.isEmpty ? nil : name
            password = parts.count == 2 ? try Self.decoded(parts[1]) : nil
        }
        for (name, value) in options {
            switch name {
            case "db": database = try Self.number(value[...], named: "db")
            case "client-name": clientName = value
            case "connect-timeout": connectTimeout = try Self.seconds(value, named: name)
            case "command-timeout": commandTimeout = try Self.seconds(value, named: name)
            default: throw Self.invalid("unknown option '\(name)'")
            }
        }
    }

    private static func hostAndPort(_ text: Substring) throws(RedisError) -> Address {
        if text.hasPrefix("[") {
            guard let close = text.firstIndex(of: "]") else { throw invalid("'[' without ']'") }
            let host = String(text[text.index(after: text.startIndex)..<close])
            let rest = text[text.index(after: close)...]
            guard rest.isEmpty || rest.hasPrefix(":") else { throw invalid("unexpected text behind ']'") }
            return .tcp(host: host, port: rest.isEmpty ? 6379 : try port(rest.dropFirst()))
        }
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count <= 2 else { throw invalid("an IPv6 address stands in brackets") }
        let host = try decoded(parts.first ?? "")
        guard !host.isEmpty else { throw invalid("no host") }
        return .tcp(host: host, port: parts.count == 2 ? try port(parts[1]) : 6379)
    }

    private static func port(_ text: Substring) throws(RedisError) -> Int {
        guard let port = Int(text), (1...65535).contains(port) else {
            throw invalid("the port is not 1 to 65535")
        }
        return port
    }

    private static func number(_ text: Substring, named name: String) throws(RedisError) -> Int {
        guard let number = Int(text), number >= 0 else { throw invalid("'\(name)' is not a whole number") }
        return number
    }

    private static func seconds(_ text: String, named name: Substring) throws(RedisError) -> Duration {
        guard let seconds = Double(text), seconds > 0, seconds < 1e9 else {
            throw invalid("'\(name)' is not a number of seconds above 0")
        }
        return .seconds(seconds)
    }

    private static func decoded(_ text: Substring) throws(RedisError) -> String {
        var bytes: [UInt8] = []
        var utf8 = text.utf8.makeIterator()
        while let byte = utf8.next() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            guard let high = utf8.next(), let low = utf8.next(),
                let value = UInt8(String(decoding: [high, low], as: UTF8.self), radix: 16)
            else { throw invalid("a '%' that is not followed by two hexadecimal digits") }
            bytes.append(value)
        }
        guard let result = String(validating: bytes, as: UTF8.self) else { throw invalid("not UTF-8") }
        return result
    }

    /// The URL itself is left out of the message: it may hold a password.
    private static func invalid(_ reason: String) -> RedisError {
        RedisError(.invalidConfiguration, "Redis URL: \(reason)")
    }
}

extension String {
    fileprivate func range(of text: String) -> Range<String.Index>? {
        var start = startIndex
        while start < endIndex {
            if self[start...].hasPrefix(text) { return start..<index(start, offsetBy: text.count) }
            start = index(after: start)
        }
        return nil
    }
}
