public import Logging
internal import Synchronization
public import Tracing

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
    /// Where the servers are and how to talk to them.
    public let configuration: RedisConfiguration
    private let logger: Logger
    private let tracer: (any Tracer)?
    private let backend: Backend

    private enum Backend {
        case connection(ConnectionCore, SentinelSet?)
        case cluster(ClusterRouter)
    }

    /// A client for these servers. It connects when the first command is sent.
    ///
    /// - Parameters:
    ///   - logger: is told of connections and what became of them, never a password, a key or a value.
    ///   - tracer: gets a span for each request, which costs a look at all its commands; nil makes none.
    public convenience init(
        _ configuration: RedisConfiguration, loop: RedisEventLoop = .shared,
        logger: Logger = Logger(label: "hiredis", factory: { _ in SwiftLogNoOpLogHandler() }),
        tracer: (any Tracer)? = nil
    ) {
        self.init(configuration, role: .client, loop: loop, logger: logger, tracer: tracer)
    }

    init(
        _ configuration: RedisConfiguration, role: ConnectionCore.Role, like other: RedisClient? = nil,
        loop: RedisEventLoop, logger: Logger, tracer: (any Tracer)? = nil
    ) {
        self.configuration = configuration
        self.loop = loop
        self.logger = logger
        self.tracer = tracer
        var (knownSentinels, knownTopology): (SentinelSet?, ClusterTopology?)
        switch other?.backend {
        case .connection(_, let sentinels)?: knownSentinels = sentinels
        case .cluster(let router)?: knownTopology = router.topology
        case nil: break
        }
        switch configuration.servers {
        case .cluster:
            let topology = knownTopology ?? ClusterTopology(configuration, loop: loop, logger: logger)
            backend = .cluster(ClusterRouter(configuration, topology: topology, loop: loop, logger: logger))
        case .sentinel:
            let sentinels = knownSentinels ?? SentinelSet(configuration, loop: loop, logger: logger)
            let core = ConnectionCore(
                configuration, role: role, sentinels: sentinels, loop: loop, logger: logger)
            sentinels.add(core)
            backend = .connection(core, sentinels)
        case .single:
            backend = .connection(
                ConnectionCore(configuration, role: role, loop: loop, logger: logger), nil)
        }
    }

    deinit { close() }

    /// Another client for the same servers on the same loop, for blocking commands. It shares what is known about a
    /// cluster or sentinels.
    public func dedicated(clientName: String? = nil) -> RedisClient {
        var configuration = configuration
        if let clientName { configuration.clientName = clientName }
        return RedisClient(
            configuration, role: .client, like: self, loop: loop, logger: logger, tracer: tracer)
    }

    /// Ends the blocking commands of another client of the same servers, as if their time were up. Does nothing when
    /// it has no connection, or when the user may not ask for this (`CLIENT ID`, `CLIENT UNBLOCK`).
    ///
    /// - Returns: false when there was no server to ask.
    @discardableResult
    public func unblock(_ other: RedisClient) async -> Bool {
        let limit = Duration.seconds(1)
        switch (backend, other.backend) {
        case (.connection, .connection(let core, _)):
            guard let identity = core.identity.withLock({ $0 }) else { return false }
            guard let id = identity.id else { return true }
            do throws(RedisError) {
                try await send(RedisCommand("CLIENT", "UNBLOCK", id), timeout: limit)
            } catch {
                return !error.isRetryable
            }
            return true
        case (.cluster(let router), .cluster(let theirs)):
            for (node, id) in await theirs.connections {
                await router.send(RedisCommand("CLIENT", "UNBLOCK", id), to: node, timeout: limit)
            }
            return true
        default: preconditionFailure("clients of other servers")
        }
    }

    /// Waits until there is a connection, the credentials are refused, or the time is up.
    public func connect(within timeout: Duration? = nil) async throws(RedisError) {
        _ = try await perform(RedisPipeline(), timeout: timeout)
    }

    /// Sends one command and waits for its answer; the server's error is thrown.
    ///
    /// - Parameter timeout: how long to wait for a connection and the reply; nil is the configuration's time, and as long
    ///   again as the command may block.
    @discardableResult
    public func send<Answer>(_ command: RedisCommand<Answer>, timeout: Duration? = nil)
        async throws(RedisError) -> Answer
    {
        try await command.answer(from: reply(to: command.pipeline, timeout, command.block))
    }

    /// Sends one command and waits for its reply; the server's error is thrown.
    ///
    /// - Parameter timeout: how long to wait for a connection and the reply; nil is the configuration's time.
    @discardableResult
    public func send(_ command: RedisCommand<RedisReply>, timeout: Duration? = nil)
        async throws(RedisError) -> RedisReply
    {
        // Not generic, which would cost a look-up of metadata for each command.
        try await reply(to: command.pipeline, timeout, command.block).get()
    }

    private func reply(to pipeline: RedisPipeline, _ timeout: Duration?, _ block: Duration)
        async throws(RedisError) -> RedisReply
    {
        guard let replies = try await perform(pipeline, timeout: timeout, block: block) else {
            throw RedisError(.unexpectedReply, "no reply")
        }
        return replies[0]
    }

    /// Sends all commands in one write and waits for all replies, in order. The server's errors stay in the replies.
    ///
    /// - Parameters:
    ///   - timeout: how long to wait for a connection and the replies; nil is the configuration's time, and as long again as
    ///     `block`.
    ///   - block: how long the server may keep the first reply back because its command waits for something.
    public func send(_ pipeline: RedisPipeline, timeout: Duration? = nil, block: Duration = .zero)
        async throws(RedisError) -> RedisReplies
    {
        guard let replies = try await perform(pipeline, timeout: timeout, block: block) else {
            preconditionFailure("a pipeline without commands has no replies")
        }
        return replies
    }

    /// What the server can do. It is asked once for each connection, and again after a reconnect: the next server may be
    /// another version.
    ///
    /// Nothing promises that the next command goes to the same connection, so whoever acts on the answer still handles
    /// the error of a server that lacks it.
    ///
    /// - Parameter keyPrefix: what the key begins with that the options are tried on. It is never made. In a cluster its
    ///   hash tag decides which node is asked; with an ACL it must be within the user's keys.
    public func capabilities(keyPrefix: String = "") async throws(RedisError) -> RedisCapabilities {
        let key = "\(keyPrefix)freshet-probe-\(UInt64.random(in: 0 ... .max))"
        let core: ConnectionCore
        switch backend {
        case .connection(let own, _):
            core = own
            if core.identity.withLock({ $0 == nil }) { try await connect() }
        case .cluster(let router): core = try await router.core(forKey: key)
        }
        let before = core.identity.withLock { $0 }
        if let known = before?.capabilities { return known }
        let capabilities = try RedisCapabilities(try await send(RedisCapabilities.probe(key: key)))
        core.identity.withLock { identity in
            if identity?.generation == before?.generation { identity?.capabilities = capabilities }
        }
        return capabilities
    }

    /// Which of its connections the client uses, counted from 1; nil before the first, and in a cluster,
    /// where it has several.
    package var connectionNumber: UInt64? {
        guard case .connection(let core, _) = backend else { return nil }
        return core.identity.withLock { $0?.generation }
    }

    /// Ends what is left at the server of this client's connections that broke with commands under way: what was sent there
    /// and not read yet is never executed. Without it a command that may have run may also run later, behind whatever
    /// comes to look for its effect.
    ///
    /// A connection is told from another server's by its number, name and age. When the user may not use CLIENT LIST and CLIENT
    /// KILL nothing happens.
    ///
    /// - Parameter key: in a cluster, a key of the node that is meant.
    package func endLostConnections(forKey key: String) async throws(RedisError) {
        let core: ConnectionCore
        switch backend {
        case .connection(let own, _): core = own
        case .cluster(let router): core = try await router.core(forKey: key)
        }
        let lost = core.lost.withLock { $0.filter { $0.id != nil } }
        guard !lost.isEmpty else { return }
        // A command without a key goes with the one before it.
        var looking = RedisPipeline()
        looking.append("EXISTS", key)
        looking.append(arguments: ["CLIENT", "LIST", "ID"] + lost.compactMap(\.id))
        let rows = try await send(looking)[1].string ?? ""
        var ending = RedisPipeline()
        ending.append("EXISTS", key)
        for row in rows.split(whereSeparator: \.isNewline) {
            // "id=7 addr=... name=... age=12 ...": neither name nor number has a space.
            var fields: [String: String] = [:]
            for field in row.split(separator: " ") {
                let parts = field.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
                if parts.count == 2 { fields[String(parts[0])] = String(parts[1]) }
            }
            guard let id = fields["id"].flatMap({ Int($0) }), let age = fields["age"].flatMap({ Int($0) }),
                let identity = lost.first(where: { $0.id == id }),
                fields["name"] ?? "" == configuration.clientName ?? "",
                abs(age - Int((ContinuousClock.now - identity.since).components.seconds)) <= 2
            else { continue }
            ending.append("CLIENT", "KILL", "ID", id)
        }
        if ending.count > 1 { _ = try await send(ending) }
        core.lost.withLock { known in
            known.removeAll { one in lost.contains { $0.generation == one.generation } }
        }
    }

    /// Closes the connections for ever. Who still waits gets `closed`.
    public func close() {
        switch backend {
        case .connection(let core, _): loop.execute { core.close() }
        case .cluster(let router): loop.execute { router.assumeIsolated { $0.close() } }
        }
    }

    /// What is under way on the connection, how many requests wait for room, and how many bytes the socket has not taken
    /// yet. For tests.
    var inFlight: (commands: Int, bytes: Int, waiting: Int, unsent: Int) {
        get async {
            guard case .connection(let core, _) = backend else { return (0, 0, 0, 0) }
            return await withCheckedContinuation { continuation in
                loop.execute {
                    continuation.resume(
                        returning: (
                            core.queue.commands, core.queue.bytes, core.waiting.count,
                            core.output.count - core.outputStart
                        ))
                }
            }
        }
    }

    private func perform(_ pipeline: RedisPipeline, timeout: Duration?, block: Duration = .zero)
        async throws(RedisError) -> RedisReplies?
    {
        let timeout = timeout ?? configuration.commandTimeout + block
        guard let tracer else { return try await exchange(pipeline, timeout, block) }
        let span = CommandSpan(pipeline, to: configuration, tracer)
        do throws(RedisError) {
            let replies = try await exchange(pipeline, timeout, block)
            span.end(replies)
            return replies
        } catch {
            span.end(error)
            throw error
        }
    }

    private func exchange(_ pipeline: RedisPipeline, _ timeout: Duration, _ block: Duration)
        async throws(RedisError) -> RedisReplies?
    {
        switch backend {
        case .cluster(let router): return try await router.send(pipeline, timeout: timeout, block: block)
        case .connection(let core, _):
            let request = Request(pipeline, timeout: timeout)
            let outcome = await withTaskCancellationHandler {
                // Not checked, which would allocate for each command: `Request.answer` resumes it once.
                await unsafe withUnsafeContinuation {
                    (continuation: UnsafeContinuation<Request.Outcome, Never>) in
                    unsafe request.caller = .task(continuation)
                    // Not `execute` on the loop itself: its closure would be an allocation.
                    if loop.isCurrent { core.submit(request) } else { loop.execute { core.submit(request) } }
                }
            } onCancel: {
                loop.execute { core.cancel(request) }
            }
            return try outcome.get()
        }
    }
}
