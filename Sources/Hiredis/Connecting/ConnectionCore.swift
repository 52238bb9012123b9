internal import CHiredisShims
internal import DequeModule
internal import Glibc
internal import Logging
internal import Synchronization

/// One connection that replaces itself: the socket, what waits to be written and what waits for replies.
///
/// `@unchecked Sendable` because all of it belongs to the loop's thread (`submit`, `cancel` and `close` are called there);
/// only `identity` is read elsewhere, through its mutex.
final class ConnectionCore: LoopMember, @unchecked Sendable {
    /// Which connection this is, as others may know it.
    struct Identity {
        /// The server's id for it (`CLIENT ID`), unless the user may not ask.
        let id: Int?
        /// Counts the connections of this core, from 1.
        let generation: UInt64
        let since: ContinuousClock.Instant
        /// What its server can do, once someone has asked.
        var capabilities: RedisCapabilities?
    }

    /// What a connection does differently from one that serves a client by itself.
    enum Role {
        case client
        /// A node of a cluster: what cannot be sent is answered at once, for the cluster to send it elsewhere.
        case node
        /// Sends this after each greeting and hands over every reply (SUBSCRIBE and its messages).
        case subscriber(RedisPipeline, onMessage: @Sendable (RedisReplies) -> Void)
    }

    let configuration: RedisConfiguration
    let role: Role
    /// What other threads may know: the present connection, while it stands.
    let identity = Guarded<Identity?>(nil)
    /// Connections that broke with something under way: their server may not have read all of it yet.
    let lost = Guarded<[Identity]>([])

    let loop: RedisEventLoop
    /// Who knows the primary, when there are sentinels.
    private let sentinels: SentinelSet?
    var log: ConnectionLog
    let metrics: ConnectionMetrics
    var tally = ConnectionMetrics.Tally()
    var state = ConnectionState.idle
    /// Where the present connection leads.
    var server: RedisConfiguration.Address?
    var reader: ReplyReader
    var queue = RequestQueue()
    /// What waits for a connection, or for room on it.
    var waiting = Deque<Request>()
    var output: [UInt8] = []
    var outputStart = 0
    var written: UInt64 = 0
    var appended: UInt64 = 0
    var lastReceived: Nanoseconds = 0
    private(set) var attempts: UInt64 = 0
    var attemptDeadline: Nanoseconds = .max
    /// When the next address is tried.
    var addressDeadline: Nanoseconds = .max
    var requestDeadline: Nanoseconds = .max
    private var backoff: Backoff
    var lastFailure: RedisError?
    /// This server takes no writes any more: nothing new goes to it, and when all has been answered it is left.
    var isRetiring = false
    /// Called when the oldest request has had no answer for a second longer than its block, and then three times a second.
    var onSilence: (() -> Void)?
    private var silenceToldAt: Nanoseconds = 0
    private var isMember = false
    var watched: LoopInterest?

    init(
        _ configuration: RedisConfiguration, role: Role = .client, sentinels: SentinelSet? = nil,
        loop: RedisEventLoop, logger: Logger
    ) {
        self.configuration = configuration
        self.role = role
        self.sentinels = sentinels
        self.loop = loop
        log = ConnectionLog(logger: logger, server: configuration.displayName)
        metrics = ConnectionMetrics.of(configuration.displayName)
        reader = ReplyReader(maxReplyBytes: configuration.maxReplyBytes)
        // Behind sentinels an attempt is also the question who the primary is.
        backoff = Backoff(ceiling: sentinels == nil ? .seconds(1) : .milliseconds(500))
    }

    // MARK: - Requests

    func submit(_ request: Request) {
        request.isSubmitted = true
        guard !request.isCancelled else { return request.answer(.failure(Self.cancelled)) }
        if case .closed = state {
            // A node is left while its cluster's client goes on, and between the choice of a node and this another task may run.
            if case .node = role { return request.answer(.failure(left)) }
            return request.answer(.failure(RedisError(.closed, "the client is closed")))
        }
        request.submittedAt = loop.now
        request.deadline = loop.now &+ request.timeout
        requestDeadline = min(requestDeadline, request.deadline)
        if case .ready = state, waiting.isEmpty, hasRoom(for: request) {
            write(request)
        } else {
            waiting.append(request)
            start()
        }
    }

    /// Connects, unless that has begun already.
    func start() {
        if case .idle = state { connect() }
    }

    /// The caller has gone: it is answered at once, and the request's late replies are dropped in their turn.
    func cancel(_ request: Request) {
        request.isCancelled = true
        guard request.isSubmitted, !request.isAnswered else { return }
        // What stands in the output buffer will be sent, whoever waits for it.
        let sent = request.start != nil
        request.answer(.failure(sent ? Self.cancelledAfterSending : Self.cancelled))
    }

    func close() {
        let reason = RedisError(.closed, "the client was closed")
        lose(reason)
        dropSocket()
        failWaiting(reason)
        state = .closed
        leaveLoop()
    }

    /// Whether this request may be written now: within the limits, or alone.
    private func hasRoom(for request: Request) -> Bool {
        guard !isRetiring else { return false }
        return queue.isEmpty
            || (queue.commands + request.pipeline.count <= configuration.maxCommandsInFlight
                && queue.bytes + request.pipeline.bytes.count <= configuration.maxBytesInFlight)
    }

    /// Writes what has waited for the connection or for room on it.
    func writeWaiting() {
        while let request = waiting.first {
            if !request.isAnswered {
                guard hasRoom(for: request) else { return }
                write(request)
            }
            waiting.removeFirst()
        }
    }

    func write(_ request: Request) {
        guard request.pipeline.count > 0 else { return request.answer(.success(nil)) }
        request.start = appended
        appended += UInt64(request.pipeline.bytes.count)
        output.append(contentsOf: request.pipeline.bytes)
        queue.append(request)
        tally.commands += request.pipeline.count
    }

    func failWaiting(_ error: RedisError) {
        let requests = waiting
        waiting = []
        fail(requests, error)
    }

    func fail(_ requests: some Sequence<Request>, _ error: RedisError) {
        for request in requests where !request.isAnswered {
            metrics.failed(error)
            request.answer(.failure(error))
        }
    }

    // MARK: - Attempts

    func connect() {
        joinLoop()
        attempts += 1
        attemptDeadline = loop.now &+ configuration.connectTimeout.nanoseconds
        let attempt = attempts
        state = .locating(attempt: attempt)
        let found: @Sendable (Result<RedisConfiguration.Address, RedisError>) -> Void = {
            [weak self, loop, configuration] result in
            switch result {
            case .success(let server):
                Resolver.route(to: server, tls: configuration.tls) { [weak self, loop] result in
                    loop.execute { [weak self] in self?.located(result, attempt: attempt) }
                }
            case .failure(let error):
                loop.execute { [weak self] in self?.located(.failure(error), attempt: attempt) }
            }
        }
        if let sentinels {
            sentinels.findPrimary(found)
        } else if case .single(let server) = configuration.servers {
            found(.success(server))
        }
    }

    private func located(_ result: Result<Route, RedisError>, attempt: UInt64) {
        guard case .locating(let current) = state, current == attempt else { return }
        switch result {
        case .success(let route): open(route)
        case .failure(let error): attemptFailed(error)
        }
    }

    /// An attempt is over. What nobody can repair by waiting (wrong credentials, a refused certificate) is told to
    /// those who wait at once; anything else is tried again until their time is up.
    func attemptFailed(_ error: RedisError) {
        dropSocket()
        lastFailure = error
        log.failed(error)
        if case .node = role {
            failWaiting(RedisError(.connectionFailed, error.message, serverCode: error.serverCode))
        } else if !error.isRetryable {
            failWaiting(error)
        }
        state = .waiting(until: loop.now &+ backoff.next())
    }

    /// The greeting is through.
    func established(_ link: Link, connectionID: Int?) {
        identity.withLock { $0 = Identity(id: connectionID, generation: attempts, since: .now) }
        state = .ready(link)
        attemptDeadline = .max
        backoff.reset()
        lastFailure = nil
        log.connected()
        metrics.connected()
        if case .subscriber(let pipeline, _) = role { output.append(contentsOf: pipeline.bytes) }
        writeWaiting()
    }

    // MARK: - Breaking

    /// The connection is over. What was not sent goes to the next one; what was sent may have run.
    func lose(_ error: RedisError) {
        guard case .ready = state else {
            if state.link != nil { attemptFailed(error) }
            return
        }
        let (ambiguous, unsent) = queue.drain(written: written)
        if !ambiguous.isEmpty, let identity = identity.withLock({ $0 }) {
            lost.withLock { $0 = $0.suffix(15) + [identity] }
        }
        dropSocket()
        log.failed(error)
        lastFailure = error
        state = .waiting(until: loop.now &+ backoff.next())
        if case .node = role {
            fail(unsent, RedisError(.connectionFailed, error.message))
            failWaiting(RedisError(.connectionFailed, error.message))
        } else {
            for request in unsent.reversed() {
                (request.start, request.received) = (nil, 0)
                waiting.prepend(request)
            }
        }
        fail(ambiguous, RedisError(error.code, error.message, serverCode: error.serverCode, mayHaveRun: true))
    }

    /// Someone has heard that this is the primary now: a connection to another server is given up, and a pause between
    /// two attempts is over.
    func primaryMoved(to primary: RedisConfiguration.Address) {
        if state.link != nil, let server, server != primary {
            lose(RedisError(.connectionLost, "the primary is \(primary) now, no longer \(server)"))
        }
        guard case .waiting = state else { return }
        backoff.reset()
        state = .waiting(until: loop.now)
    }

    private func dropSocket() {
        if case .ready = state { metrics.disconnected() }
        if let link = state.link { close(link) }
        identity.withLock { $0 = nil }
        (state, server, isRetiring) = (.idle, nil, false)
        (attemptDeadline, addressDeadline) = (.max, .max)
        queue = RequestQueue()
        (output, outputStart) = ([], 0)
        metrics.report(&tally, commandsInFlight: 0)
    }

    /// Nothing new goes to this node: what waits is answered, for the cluster to send it elsewhere, and what is under way
    /// comes to its end.
    func retire() {
        isRetiring = true
        failWaiting(left)
    }

    private var left: RedisError {
        RedisError(.connectionFailed, "\(configuration.displayName) is no primary any more")
    }

    /// The node is gone for good, and its socket does not say so.
    func abandon() {
        lose(RedisError(.connectionLost, "\(configuration.displayName) is no primary any more"))
        retire()
        close()
    }

    /// When the server is to be called silent.
    var silenceDeadline: Nanoseconds {
        guard onSilence != nil, let oldest = queue.first ?? waiting.first else { return .max }
        let expected = max(oldest.submittedAt &+ oldest.block, lastReceived)
        return max(expected &+ 1_000_000_000, silenceToldAt &+ 300_000_000)
    }

    func tellSilence(at now: Nanoseconds) {
        guard silenceDeadline <= now else { return }
        silenceToldAt = now
        onSilence?()
    }

    func close(_ link: Link) {
        loop.unwatch(self)
        link.close()
    }

    private func joinLoop() {
        guard !isMember else { return }
        isMember = true
        loop.add(self)
    }

    private func leaveLoop() {
        guard isMember else { return }
        isMember = false
        loop.remove(self)
    }

    private static let cancelled = RedisError(.cancelled, "the task was cancelled")
    private static let cancelledAfterSending = RedisError(
        .cancelled, "the task was cancelled", mayHaveRun: true)
}
