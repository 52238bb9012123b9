internal import CHiredisShims

/// A Lua script that the servers keep: sent whole once to each node, then called by its digest.
public final class RedisScript: Sendable {
    /// The script's text.
    public let source: String
    private let digest: String

    /// A script with this text.
    public init(_ source: String) {
        self.source = source
        digest = Self.digest(of: Array(source.utf8))
    }

    /// SHA-1 in hexadecimal digits, by which servers know a script.
    package static func digest(of source: [UInt8]) -> String {
        var text = [CChar](repeating: 0, count: 41)
        unsafe fch_sha1_hex(source, source.count, &text)
        return String(nullTerminated: text)
    }

    /// Runs the script; what the script returns comes back, an error it raises is thrown.
    ///
    /// A server that does not know the script (a new node, a restart, a failover, `SCRIPT FLUSH`) is given it whole,
    /// which also makes it keep it: NOSCRIPT means that nothing ran.
    ///
    /// - Parameters:
    ///   - keys: all keys that the script touches; in a cluster they are in one slot, which decides the node.
    ///   - timeout: how long to wait for a connection and the reply; nil is the configuration's time.
    @discardableResult
    public func run(
        on client: RedisClient, keys: [String], arguments: [any RedisArgument] = [], timeout: Duration? = nil
    ) async throws(RedisError) -> RedisReply {
        try await run(on: client, keys: keys, argumentCount: arguments.count, timeout: timeout) { command in
            for argument in arguments { argument.write(to: &command) }
        }[0]
    }

    /// The same with arguments that are written straight into the command.
    ///
    /// - Parameters:
    ///   - argumentCount: how many arguments `write` appends, keys not counted.
    ///   - following: commands that go with the script, on the same connection.
    ///   - block: how long the server may keep their replies back.
    /// - Returns: the script's reply, which is no error, and theirs.
    @discardableResult
    package func run(
        on client: RedisClient, keys: [String], argumentCount: Int,
        following: RedisPipeline = RedisPipeline(),
        block: Duration = .zero, timeout: Duration? = nil, _ write: (inout CommandWriter) -> Void
    ) async throws(RedisError) -> RedisReplies {
        func command(_ name: StaticString, _ script: String) -> RedisPipeline {
            var pipeline = Self.command(name, script, keys, argumentCount, write)
            pipeline.append(following)
            return pipeline
        }
        var replies = try await client.send(command("EVALSHA", digest), timeout: timeout, block: block)
        if replies[0].error?.remedy == .loadScript {
            replies = try await client.send(command("EVAL", source), timeout: timeout, block: block)
        }
        try replies[0].get()
        return replies
    }

    /// A call of the script by its digest, to be sent later: a server that does not know the script answers
    /// NOSCRIPT.
    package func call(
        keys: [String], argumentCount: Int, _ write: (inout CommandWriter) -> Void
    ) -> RedisPipeline {
        Self.command("EVALSHA", digest, keys, argumentCount, write)
    }

    private static func command(
        _ name: StaticString, _ script: String, _ keys: [String], _ argumentCount: Int,
        _ write: (inout CommandWriter) -> Void
    ) -> RedisPipeline {
        var pipeline = RedisPipeline()
        pipeline.append(argumentCount: 3 + keys.count + argumentCount) { command in
            command.append(name)
            command.append(script)
            keys.count.write(to: &command)
            for key in keys { command.append(key) }
            write(&command)
        }
        return pipeline
    }
}
