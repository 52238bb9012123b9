extension RedisConfiguration {
    /// Servers by their URL:
    ///
    ///     redis://[user:password@]host[:port][/database]
    ///     unix://[user:password@]/path[?db=number]
    ///     redis+sentinel://[user:password@]host[:port],host[:port],.../primary-name[/database]
    ///     redis+cluster://[user:password@]host[:port],host[:port],...
    ///
    /// `rediss` in place of `redis` is TLS, and `valkey` and `valkeys` are other spellings of both. The port is 6379, or
    /// 26379 for sentinels. User and password are those of the servers (`sentinel-user` and `sentinel-password` are
    /// for the sentinels), percent-encoded where they hold `:`, `@`, `/` or `%`.
    ///
    /// Options behind `?`: `client-name`; `connect-timeout` and `command-timeout` in seconds; for TLS `tls-ca`,
    /// `tls-cert` and `tls-key` (PEM files), `tls-server-name`, and `tls-insecure=true`, which verifies nothing.
    ///
    /// - Throws: `invalidConfiguration` that says what is wrong and does not repeat the URL, which may hold a password.
    public init(url: String) throws(RedisError) {
        guard let mark = url.firstRange(of: "://") else {
            throw Self.invalid("expected redis://host:port or unix:///path")
        }
        let (family, shape) = try Self.scheme(url[..<mark.lowerBound])
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
        if shape == .unix {
            guard rest.hasPrefix("/") else { throw Self.invalid("a unix:// URL needs an absolute path") }
            self.init(address: .unix(path: try Self.decoded(rest)))
        } else {
            var path = rest.split(separator: "/", omittingEmptySubsequences: false)[...]
            let hosts = path.removeFirst()
            switch shape {
            case .sentinel:
                let name = try Self.decoded(path.popFirst() ?? "")
                guard !name.isEmpty else {
                    throw Self.invalid("the primary's name is missing: redis+sentinel://host,host/name")
                }
                self.init(.sentinel(try Self.addresses(hosts, port: 26379), primary: name))
            case .cluster: self.init(.cluster(try Self.addresses(hosts, port: 6379)))
            default: self.init(address: try Self.address(hosts, port: 6379))
            }
            if let text = path.popFirst(), !text.isEmpty {
                database = try Self.number(text, named: "database")
            }
            guard path.isEmpty else { throw Self.invalid("unexpected text behind the database") }
        }
        if family == .secure { tls = RedisTLS() }
        if let credentials {
            let parts = credentials.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            let name = try Self.decoded(parts[0])
            user = name.isEmpty ? nil : name
            password = parts.count == 2 ? try Self.decoded(parts[1]) : nil
        }
        for (name, value) in options { try apply(name, value) }
        if case .cluster = servers, database != 0 { throw Self.invalid("a cluster has only database 0") }
    }

    private mutating func apply(_ name: Substring, _ value: String) throws(RedisError) {
        if name.hasPrefix("tls-") {
            guard var tls else { throw Self.invalid("'\(name)' needs a rediss:// URL") }
            switch name {
            case "tls-ca": tls.authorityFile = value
            case "tls-cert": tls.certificateFile = value
            case "tls-key": tls.keyFile = value
            case "tls-server-name": tls.serverName = value
            case "tls-insecure":
                guard value == "true" || value == "false" else {
                    throw Self.invalid("'tls-insecure' is not true or false")
                }
                tls.isInsecure = value == "true"
            default: throw Self.invalid("unknown option '\(name)'")
            }
            self.tls = tls
            return
        }
        switch name {
        case "db": database = try Self.number(value[...], named: "db")
        case "client-name":
            guard value.utf8.allSatisfy({ (33...126).contains($0) }) else {
                throw Self.invalid("'client-name' may not hold spaces or special characters")
            }
            clientName = value
        case "connect-timeout": connectTimeout = try Self.seconds(value, named: name)
        case "command-timeout": commandTimeout = try Self.seconds(value, named: name)
        case "sentinel-user": sentinelUser = value
        case "sentinel-password": sentinelPassword = value
        default: throw Self.invalid("unknown option '\(name)'")
        }
    }

    private enum Family { case plain, secure }
    private enum Shape { case single, unix, sentinel, cluster }

    private static func scheme(_ text: Substring) throws(RedisError) -> (Family, Shape) {
        let parts = text.split(separator: "+", maxSplits: 1)
        let family: Family? =
            switch parts.first {
            case "redis", "valkey": .plain
            case "rediss", "valkeys": .secure
            default: nil
            }
        let shape: Shape? =
            switch parts.count == 2 ? parts[1] : "" {
            case "": .single
            case "sentinel": .sentinel
            case "cluster": .cluster
            case "unix": family == .plain ? .unix : nil
            default: nil
            }
        if text == "unix" { return (.plain, .unix) }
        guard let family, let shape else {
            throw invalid(
                "the scheme '\(text)' is not one of redis, rediss, unix, redis+sentinel, rediss+sentinel, redis+cluster, "
                    + "rediss+cluster (or valkey for redis)")
        }
        return (family, shape)
    }

    private static func addresses(_ text: Substring, port: Int) throws(RedisError) -> [Address] {
        var addresses: [Address] = []
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            addresses.append(try address(part, port: port))
        }
        return addresses
    }

    private static func address(_ text: Substring, port standard: Int) throws(RedisError) -> Address {
        if text.hasPrefix("[") {
            guard let close = text.firstIndex(of: "]") else { throw invalid("'[' without ']'") }
            let host = String(text[text.index(after: text.startIndex)..<close])
            let rest = text[text.index(after: close)...]
            guard rest.isEmpty || rest.hasPrefix(":") else { throw invalid("unexpected text behind ']'") }
            return .tcp(host: host, port: rest.isEmpty ? standard : try port(rest.dropFirst()))
        }
        guard !text.contains(",") else {
            throw invalid("several hosts need redis+sentinel:// or redis+cluster://")
        }
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count <= 2 else { throw invalid("an IPv6 address stands in brackets") }
        let host = try decoded(parts.first ?? "")
        guard !host.isEmpty else { throw invalid("no host") }
        return .tcp(host: host, port: parts.count == 2 ? try port(parts[1]) : standard)
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
