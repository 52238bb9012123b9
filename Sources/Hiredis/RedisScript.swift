internal import CHiredisShims

/// A Lua script that the servers keep: sent whole once to each node, then called by its digest.
public final class RedisScript: Sendable {
    /// The script's text.
    public let source: String
    private let digest: String

    /// A script with this text.
    public init(_ source: String) {
        self.source = source
        var text = [CChar](repeating: 0, count: 41)
        let bytes = Array(source.utf8)
        unsafe fch_sha1_hex(bytes, bytes.count, &text)
        digest = String(nullTerminated: text)
    }

    /// Runs the script; what the script returns comes back, an error it raises is thrown.
    ///
    /// A server that does not know the script (a new node, a restart, a failover, `SCRIPT FLUSH`) is given it whole,
    /// which also makes it keep it: NOSCRIPT means that nothing ran.
    ///
    /// - Parameter keys: all keys that the script touches; in a cluster they are in one slot, which decides the node.
    @discardableResult
    public func run(on client: RedisClient, keys: [String], arguments: [any RedisArgument] = [])
        async throws(RedisError) -> RedisReply
    {
        let rest = [keys.count] as [any RedisArgument] + keys + arguments
        do {
            return try await client.send(RedisCommand(arguments: ["EVALSHA", digest] + rest))
        } catch  where error.remedy == .loadScript {
            return try await client.send(RedisCommand(arguments: ["EVAL", source] + rest))
        }
    }
}
