public import Logging
internal import Synchronization

/// A connection to one server that replaces itself when it breaks, shared by any number of tasks.
///
/// Commands sent while others are in flight are pipelined. Replies come back in the order of the commands. A caller always
/// gets a reply or an error, at the latest when its time is up: a command that finds no connection waits for one, a
/// command of which nothing was sent when the connection broke goes to the next one, and one that was sent ends with
/// `mayHaveRun`. Attempts to connect back off up to one second, with jitter.
///
/// A blocking command holds up everything behind it: give it a client of its own (`dedicated`).
public final class RedisClient: Sendable {
    /// The loop that owns the connection; a task that prefers it as its executor reaches it without a thread hop.
    public let loop: RedisEventLoop
    /// Where the server is.
    public var configuration: RedisConfiguration { core.configuration }
    private let core: ConnectionCore
    private let sentinels: SentinelSet?
    private let logger: Logger

    /// A client for these servers. It connects when the first command is sent.
    public convenience init(
        _ configuration: RedisConfiguration, loop: RedisEventLoop = .shared,
        logger: Logger = Logger(label: "hiredis", factory: { _ in SwiftLogNoOpLogHandler() })
    ) {
        self.init(configuration, role: .client, loop: loop, logger: logger)
    }

    init(
        _ configuration: RedisConfiguration, role: ConnectionCore.Role, sentinels known: SentinelSet? = nil,
        loop: RedisEventLoop, logger: Logger
    ) {
        self.loop = loop
        self.logger = logger
        if case .sentinel = configuration.servers {
            sentinels = known ?? SentinelSet(configuration, loop: loop, logger: logger)
        } else {
            sentinels = nil
        }
        core = ConnectionCore(configuration, role: role, sentinels: sentinels, loop: loop, logger: logger)
        sentinels?.add(core)
    }

    deinit { loop.execute { [core] in core.close() } }

    /// Another client for the same server on the same loop, for blocking commands.
    public func dedicated(clientName: String? = nil) -> RedisClient {
        var configuration = configuration
        if let clientName { configuration.clientName = clientName }
        return RedisClient(configuration, role: .client, sentinels: sentinels, loop: loop, logger: logger)
    }

    /// The server's id of the present connection (`CLIENT ID`), or nil while there is none or the user may not ask.
    public var connectionID: Int? { core.identity.withLock { $0?.id } }

    /// Waits until there is a connection, the credentials are refused, or the time is up.
    public func connect(within timeout: Duration? = nil) async throws(RedisError) {
        _ = try await perform(RedisPipeline(), timeout: timeout)
    }

    /// Sends one command and waits for its reply; the server's error is thrown.
    ///
    /// - Parameter timeout: how long to wait for a connection and the reply; nil is the configuration's time.
    @discardableResult
    public func send(_ command: RedisCommand, timeout: Duration? = nil) async throws(RedisError) -> RedisReply
    {
        guard let replies = try await perform(command.pipeline, timeout: timeout) else {
            throw RedisError(.unexpectedReply, "no reply")
        }
        return try replies[0].get()
    }

    /// Sends all commands in one write and waits for all replies, in order. The server's errors stay in the replies.
    ///
    /// - Parameter timeout: how long to wait for a connection and the replies; nil is the configuration's time.
    public func send(_ pipeline: RedisPipeline, timeout: Duration? = nil) async throws(RedisError)
        -> RedisReplies
    {
        guard let replies = try await perform(pipeline, timeout: timeout) else {
            preconditionFailure("a pipeline without commands has no replies")
        }
        return replies
    }

    /// Closes the connection for ever. Who still waits gets `closed`.
    public func close() {
        loop.execute { [core] in core.close() }
    }

    private func perform(_ pipeline: RedisPipeline, timeout: Duration?) async throws(RedisError)
        -> RedisReplies?
    {
        let request = Request(pipeline, timeout: timeout ?? configuration.commandTimeout)
        let outcome = await withTaskCancellationHandler {
            await withCheckedContinuation { (continuation: CheckedContinuation<Request.Outcome, Never>) in
                request.reply = { continuation.resume(returning: $0) }
                loop.execute { [core] in core.submit(request) }
            }
        } onCancel: {
            loop.execute { [core] in core.cancel(request) }
        }
        return try outcome.get()
    }
}
