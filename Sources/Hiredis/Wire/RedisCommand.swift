/// One command: a name, its arguments, and what its reply says.
///
/// The streams' commands have factories with an answer of their own (`.xlen(key)`, `.xadd(key, fields)`); every other
/// command is spelled out and answers with the reply itself: `RedisCommand("HGET", key, field)`.
public struct RedisCommand<Answer: Sendable>: Sendable {
    let pipeline: RedisPipeline
    /// How long the server may keep the reply back because it waits for something.
    let block: Duration
    private let decode: @Sendable (RedisReply) throws(RedisError) -> Answer

    /// A command, its name first.
    ///
    /// - Parameters:
    ///   - block: how long the server may keep the reply back; the time for a reply is counted from then on.
    ///   - decode: reads the answer from a reply that is no error of the server.
    public init(
        arguments: [any RedisArgument], block: Duration = .zero,
        decode: @escaping @Sendable (RedisReply) throws(RedisError) -> Answer
    ) {
        var pipeline = RedisPipeline()
        pipeline.append(arguments: arguments)
        self.init(pipeline, block: block, decode: decode)
    }

    init(
        _ pipeline: RedisPipeline, block: Duration = .zero,
        decode: @escaping @Sendable (RedisReply) throws(RedisError) -> Answer
    ) {
        self.pipeline = pipeline
        self.block = block
        self.decode = decode
    }

    /// What a reply to this command says, for commands that were sent in a pipeline.
    ///
    /// - Throws: the server's error, or `unexpectedReply` when the reply is of another shape.
    public func answer(from reply: RedisReply) throws(RedisError) -> Answer { try decode(reply.get()) }
}

extension RedisCommand where Answer == RedisReply {
    /// A command, its name first: `RedisCommand("HGET", key, field)`.
    public init(_ arguments: any RedisArgument...) {
        self.init(arguments: arguments)
    }

    /// A command, its name first.
    public init(arguments: [any RedisArgument]) {
        self.init(arguments: arguments) { reply in reply }
    }
}

extension RedisPipeline {
    /// Appends a command; its `answer(from:)` reads the reply.
    public mutating func append<Answer>(_ command: RedisCommand<Answer>) { append(command.pipeline) }
}

extension RedisReply {
    /// What `read` makes of this reply, or `unexpectedReply` when it makes nothing of it.
    func read<Value>(_ command: StaticString, _ read: (RedisReply) -> Value?) throws(RedisError) -> Value {
        guard let value = read(self) else {
            throw RedisError(.unexpectedReply, "\(command) gave a reply of another shape")
        }
        return value
    }
}
