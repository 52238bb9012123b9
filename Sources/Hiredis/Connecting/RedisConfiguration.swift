/// Where the servers are and how to talk to them.
public struct RedisConfiguration: Sendable {
    /// Where one server listens.
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

    /// How the servers stand to each other.
    public enum Servers: Sendable, Hashable {
        /// One server.
        case single(Address)
        /// A primary with replicas, watched by these sentinels under this name. Which server is the primary is asked
        /// at every connect.
        case sentinel([Address], primary: String)
        /// A Redis Cluster, found through any of these nodes.
        case cluster([Address])
    }

    /// How the servers stand to each other, and where they are.
    public var servers: Servers
    /// TLS, or nil for plain connections. It holds for sentinels and nodes alike.
    public var tls: RedisTLS?
    /// The ACL user; nil for the default user.
    public var user: String?
    /// The password; nil when the server asks for none. It appears in no log and no error.
    public var password: String?
    /// The ACL user at the sentinels; nil for their default user.
    public var sentinelUser: String?
    /// The password of the sentinels; nil when they ask for none.
    public var sentinelPassword: String?
    /// The database number. A cluster has only 0.
    public var database = 0
    /// What `CLIENT LIST` shows. No spaces.
    public var clientName: String?
    /// How long one attempt to connect may take, look-up, TLS and greeting included. 5 s by default. When a name has
    /// several addresses each gets its share of the time.
    public var connectTimeout = Duration.seconds(5)
    /// How long a command may wait for a connection and its reply, unless the call says otherwise. 10 s by default.
    public var commandTimeout = Duration.seconds(10)
    /// The largest reply taken, in bytes; a larger one ends the connection. 512 MiB by default, the server's own limit.
    public var maxReplyBytes = 512 * 1024 * 1024
    /// How many commands may be under way on a connection before further senders wait. 10,000 by default.
    public var maxCommandsInFlight = 10_000
    /// How many bytes of commands may be under way on a connection before further senders wait; a single pipeline may
    /// be larger. 64 MiB by default.
    public var maxBytesInFlight = 64 * 1024 * 1024

    /// These servers.
    public init(_ servers: Servers) { self.servers = servers }

    /// One server at this address.
    public init(address: Address) { self.init(.single(address)) }

    /// The URL without credentials and options, for logs and errors.
    public var displayName: String {
        let secure = tls == nil ? "redis" : "rediss"
        switch servers {
        case .single(.unix(let path)): return "unix://\(path)\(database == 0 ? "" : "?db=\(database)")"
        case .single(let address): return "\(secure)://\(address)\(database == 0 ? "" : "/\(database)")"
        case .sentinel(let sentinels, let primary):
            let hosts = sentinels.map(\.description).joined(separator: ",")
            return "\(secure)+sentinel://\(hosts)/\(primary)\(database == 0 ? "" : "/\(database)")"
        case .cluster(let seeds):
            return "\(secure)+cluster://\(seeds.map(\.description).joined(separator: ","))"
        }
    }

    /// The same for one server alone: a node of the cluster, the primary that the sentinels named.
    func single(_ address: Address) -> RedisConfiguration {
        var configuration = self
        configuration.servers = .single(address)
        return configuration
    }
}

/// How a connection is secured. TLS 1.2 is the least; the server's certificate chain and its name are verified.
public struct RedisTLS: Sendable, Hashable {
    /// A PEM file of the authorities to trust; nil for the system's.
    public var authorityFile: String?
    /// A PEM file with this client's certificate (and its chain), for servers that ask for one.
    public var certificateFile: String?
    /// A PEM file with the certificate's key, without a passphrase.
    public var keyFile: String?
    /// The name (or address) that the server's certificate must hold; nil for the host that is connected to.
    public var serverName: String?
    /// Takes any certificate of any server. Anyone between can then read and change everything: for trials only.
    public var isInsecure = false

    /// TLS with the system's authorities and no certificate of our own. The files are read anew at each connect, so
    /// that a renewed certificate is picked up.
    public init() {}
}
