internal import Synchronization

/// A Lua script that the server keeps: sent once, then called by its digest.
public final class RedisScript: Sendable {
    /// The script's text.
    public let source: String
    private let digest = Mutex<String?>(nil)

    /// A script with this text.
    public init(_ source: String) { self.source = source }

    /// Runs the script; what the script returns comes back, an error it raises is thrown.
    ///
    /// A server that has lost the script (restart, failover, `SCRIPT FLUSH`) is given it again: NOSCRIPT means that
    /// nothing ran.
    @discardableResult
    public func run(on client: RedisClient, keys: [String], arguments: [any RedisArgument] = [])
        async throws(RedisError) -> RedisReply
    {
        let rest = [keys.count] as [any RedisArgument] + keys + arguments
        var known = digest.withLock { $0 }
        if known == nil { known = try await load(on: client) }
        if let digest = known {
            do {
                return try await client.send(RedisCommand(arguments: ["EVALSHA", digest] + rest))
            } catch  where error.serverCode == "NOSCRIPT" {}
        }
        return try await client.send(RedisCommand(arguments: ["EVAL", source] + rest))
    }

    /// Nil for a user who may run scripts and not load them.
    private func load(on client: RedisClient) async throws(RedisError) -> String? {
        do {
            let loaded = try await client.send(RedisCommand("SCRIPT", "LOAD", source)).string
            digest.withLock { $0 = loaded }
            return loaded
        } catch  where error.serverCode == "NOPERM" {
            return nil
        }
    }
}
