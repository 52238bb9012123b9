/// What a server can do beyond the streams of Redis 5, found out by asking it and not by its version: forks, modules and
/// ACLs make a version say little.
public struct RedisCapabilities: Sendable, Hashable {
    /// A command or an option that not every server has.
    public enum Feature: String, Sendable, Hashable, CaseIterable {
        /// XAUTOCLAIM (Redis 6.2).
        case xautoclaim
        /// WAITAOF (Redis 7.2, Valkey).
        case waitaof
        /// XACKDEL (Redis 8.2).
        case xackdel
        /// XDELEX (Redis 8.2).
        case xdelex
        /// XCFGSET, which configures what IDMP remembers (Redis 8.6).
        case xcfgset
        /// XNACK (Redis 8.8).
        case xnack
        /// The option ACKED of XTRIM and XADD (Redis 8.2).
        case trimAcknowledged
        /// The option CLAIM of XREADGROUP (Redis 8.4).
        case readGroupClaim
        /// The option IDMP of XADD (Redis 8.6).
        case addIdempotent
        /// The option MAXCOUNT of XREAD and XREADGROUP (Redis 8.10).
        case readMaximum
    }

    /// `redis`, `valkey`, or what else the server calls itself; nil when it has no HELLO.
    public let product: String?
    /// The product's own version, such as `8.6.3`; nil when it has no HELLO.
    public let version: String?
    /// What it can do. An option that the user may not try (NOPERM) counts as missing; a command does not, which the
    /// server lists for everyone.
    public let features: Set<Feature>

    /// Whether the server has this.
    public func has(_ feature: Feature) -> Bool { features.contains(feature) }
}

extension RedisCapabilities {
    private static let commands: [Feature] = [.xautoclaim, .waitaof, .xackdel, .xdelex, .xcfgset, .xnack]
    private static let options: [Feature] = [
        .trimAcknowledged, .readGroupClaim, .addIdempotent, .readMaximum,
    ]

    /// Asks without any effect: options are tried on a key that does not exist, in ways that do not make it. HELLO without a
    /// version changes nothing either.
    static func probe(key: String) -> RedisPipeline {
        var pipeline = RedisPipeline()
        pipeline.append("HELLO")
        pipeline.append(arguments: ["COMMAND", "INFO"] + commands.map { $0.rawValue.uppercased() })
        pipeline.append("XTRIM", key, "MAXLEN", 0, "ACKED")
        pipeline.append("XREADGROUP", "GROUP", "g", "c", "CLAIM", 10, "STREAMS", key, ">")
        pipeline.append("XADD", key, "NOMKSTREAM", "IDMP", "p", "i", "*", "f", "v")
        pipeline.append("XREAD", "COUNT", 1, "MAXCOUNT", 1, "STREAMS", key, "0")
        return pipeline
    }

    /// - Throws: what a server says that cannot tell just now (LOADING, OOM).
    init(_ replies: RedisReplies) throws(RedisError) {
        let hello = replies[0]
        product = hello.value(named: "server")?.string
        version = hello.value(named: "version")?.string
        var features: Set<Feature> = []
        for (feature, reply) in zip(Self.commands, replies[1].array.map(Array.init) ?? [])
        where reply.array != nil { features.insert(feature) }
        for (feature, reply) in zip(Self.options, replies.dropFirst(2)) {
            if let error = reply.error {
                if error.remedy == .retryAfterPause { throw error }
                // The group that is not there was looked for after the options had been understood.
                guard error.serverCode == .noGroup else { continue }
            }
            features.insert(feature)
        }
        self.features = features
    }
}

extension RedisReply {
    /// The value behind this name in a reply of names and values in turn (XINFO, HELLO); nil when it has none.
    package func value(named name: StaticString) -> RedisReply? {
        guard let array else { return nil }
        var iterator = array.makeIterator()
        while let key = iterator.next(), let value = iterator.next() {
            if let bytes = key.bytes, bytes == name { return value }
        }
        return nil
    }
}
