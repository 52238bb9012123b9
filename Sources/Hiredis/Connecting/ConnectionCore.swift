internal import CHiredisShims
internal import Glibc
internal import Logging
internal import Synchronization

/// One connection that replaces itself: the socket, what waits to be written and what waits for replies.
///
/// `@unchecked Sendable` because all of it belongs to the loop's thread (`submit`, `cancel` and `close` are called there);
/// only `identity` is read elsewhere, through its mutex.
final class ConnectionCore: LoopMember, @unchecked Sendable {
    let configuration: RedisConfiguration
    /// What other threads may know: the server's id for the connection, while it stands.
    let identity = Mutex<Int?>(nil)

    private let loop: RedisEventLoop
    private var log: ConnectionLog
    private var state = ConnectionState.idle
    private var reader: ReplyReader
    private var queue = RequestQueue()
    private var waiting: [Request] = []
    private var output: [UInt8] = []
    private var outputStart = 0
    private var written: UInt64 = 0
    private var appended: UInt64 = 0
    private var lastReceived: Nanoseconds = 0
    private var attempts: UInt64 = 0
    private var attemptDeadline: Nanoseconds = .max
    private var requestDeadline: Nanoseconds = .max
    private var backoff = Backoff()
    private var lastFailure: RedisError?
    private var isMember = false

    init(_ configuration: RedisConfiguration, loop: RedisEventLoop, logger: Logger) {
        self.configuration = configuration
        self.loop = loop
        log = ConnectionLog(logger: logger, server: configuration.displayName)
        reader = ReplyReader(maxReplyBytes: configuration.maxReplyBytes)
    }

    // MARK: - Requests

    func submit(_ request: Request) {
        request.isSubmitted = true
        guard !request.isCancelled else { return request.answer(.failure(Self.cancelled)) }
        if case .closed = state {
            return request.answer(.failure(RedisError(.closed, "the client is closed")))
        }
        request.submittedAt = loop.now
        request.deadline = loop.now &+ request.timeout
        requestDeadline = min(requestDeadline, request.deadline)
        if case .ready = state {
            write(request)
        } else {
            waiting.append(request)
            if case .idle = state { connect() }
        }
    }

    func cancel(_ request: Request) {
        request.isCancelled = true
        guard request.isSubmitted, !request.isAnswered else { return }
        waiting.removeAll { $0 === request }
        request.answer(
            .failure(
                request.start.map { $0 < written } ?? false ? Self.cancelledAfterSending : Self.cancelled))
    }

    func close() {
        lose(RedisError(.closed, "the client was closed"))
        dropSocket()
        fail(waiting, RedisError(.closed, "the client was closed"))
        waiting = []
        state = .closed
        leaveLoop()
    }

    private func write(_ request: Request) {
        guard request.pipeline.count > 0 else { return request.answer(.success(nil)) }
        request.start = appended
        appended += UInt64(request.pipeline.bytes.count)
        output.append(contentsOf: request.pipeline.bytes)
        queue.append(request)
    }

    // MARK: - Connecting

    private func connect() {
        joinLoop()
        attempts += 1
        attemptDeadline = loop.now &+ configuration.connectTimeout.nanoseconds
        switch configuration.address {
        case .unix(let path):
            open([path])
        case .tcp(let host, _):
            let attempt = attempts
            state = .resolving(attempt: attempt)
            Resolver.resolve(host) { [weak self, loop] result in
                loop.execute { [weak self] in self?.resolved(result, attempt: attempt) }
            }
        }
    }

    private func resolved(_ result: Result<[String], RedisError>, attempt: UInt64) {
        guard case .resolving(let current) = state, current == attempt else { return }
        switch result {
        case .success(let addresses): open(addresses[...])
        case .failure(let error): attemptFailed(error)
        }
    }

    /// Starts to connect to the first of these addresses that does not refuse at once.
    private func open(_ addresses: ArraySlice<String>) {
        var addresses = addresses
        var reason = "no address"
        while let address = addresses.popFirst() {
            var text = [CChar](repeating: 0, count: 256)
            let descriptor =
                switch configuration.address {
                case .unix: unsafe fch_connect_unix(address, &text, text.count)
                case .tcp(_, let port): unsafe fch_connect_tcp(address, Int32(port), &text, text.count)
                }
            if descriptor >= 0 {
                state = .connecting(descriptor: descriptor, remaining: addresses)
                return
            }
            reason = String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        }
        attemptFailed(RedisError(.connectionFailed, "\(configuration.displayName): \(reason)"))
    }

    private func connected(_ descriptor: Int32, remaining: ArraySlice<String>) {
        let error = fch_connect_result(descriptor)
        guard error == 0 else {
            fch_close(descriptor)
            let reason = unsafe String(cString: strerror(error))
            guard remaining.isEmpty else { return open(remaining) }
            return attemptFailed(RedisError(.connectionFailed, "\(configuration.displayName): \(reason)"))
        }
        reader = ReplyReader(maxReplyBytes: configuration.maxReplyBytes)
        (written, appended, output, outputStart) = (0, 0, [], 0)
        lastReceived = loop.now
        state = .greeting(descriptor: descriptor)
        let greeting = Request(Greeting.pipeline(for: configuration), timeout: configuration.connectTimeout)
        greeting.reply = { [unowned(safe) self] outcome in greeted(outcome) }
        greeting.deadline = .max  // the attempt's own deadline covers it
        write(greeting)
    }

    private func greeted(_ outcome: Request.Outcome) {
        guard case .greeting(let descriptor) = state, case .success(let replies?) = outcome else { return }
        switch Greeting.verdict(on: replies, configuration: configuration) {
        case .refused(let error):
            attemptFailed(error)
        case .welcome(let connectionID):
            identity.withLock { $0 = connectionID }
            state = .ready(descriptor: descriptor)
            attemptDeadline = .max
            backoff.reset()
            lastFailure = nil
            log.connected()
            let queued = waiting
            waiting = []
            for request in queued { write(request) }
        }
    }

    /// Wrong credentials are told to those who wait at once; anything else is tried again until their time is up.
    private func attemptFailed(_ error: RedisError) {
        dropSocket()
        attemptDeadline = .max
        lastFailure = error
        log.failed(error)
        if !error.isRetryable {
            fail(waiting, error)
            waiting = []
        }
        let until = loop.now &+ backoff.next()
        state = .waiting(until: until)
    }

    // MARK: - Breaking

    /// The connection is over. What was not sent goes to the next one; what was sent may have run.
    private func lose(_ error: RedisError) {
        guard case .ready = state else {
            if state.descriptor != nil { attemptFailed(error) }
            return
        }
        let (ambiguous, unsent) = queue.drain(written: written)
        dropSocket()
        log.failed(error)
        lastFailure = error
        for request in unsent { (request.start, request.received) = (nil, 0) }
        waiting = unsent + waiting
        state = .waiting(until: loop.now &+ backoff.next())
        fail(ambiguous, RedisError(error.code, error.message, serverCode: error.serverCode, mayHaveRun: true))
    }

    private func dropSocket() {
        if let descriptor = state.descriptor { fch_close(descriptor) }
        identity.withLock { $0 = nil }
        state = .idle
        queue = RequestQueue()
        (output, outputStart) = ([], 0)
    }

    private func fail(_ requests: [Request], _ error: RedisError) {
        for request in requests { request.answer(.failure(error)) }
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

// MARK: - As a member of the loop

extension ConnectionCore {
    var interest: (descriptor: Int32, events: Int16)? {
        switch state {
        case .connecting(let descriptor, _): (descriptor, Int16(POLLOUT))
        case .greeting(let descriptor), .ready(let descriptor):
            (descriptor, Int16(POLLIN) | (outputStart < output.count ? Int16(POLLOUT) : 0))
        case .idle, .resolving, .waiting, .closed: nil
        }
    }

    var deadline: Nanoseconds? {
        var next = min(attemptDeadline, requestDeadline)
        if case .waiting(let until) = state { next = min(next, until) }
        return next == .max ? nil : next
    }

    func ready(_ events: Int16) {
        if case .connecting(let descriptor, let remaining) = state {
            connected(descriptor, remaining: remaining)
        } else if events & ~Int16(POLLOUT) != 0 {
            read()
        }
    }

    func flush() {
        guard outputStart < output.count, let descriptor = state.descriptor else { return }
        while outputStart < output.count {
            let count = unsafe output.withUnsafeBufferPointer { bytes in
                unsafe bytes.baseAddress.map {
                    unsafe fch_write(descriptor, $0 + outputStart, bytes.count - outputStart)
                }
            }
            guard let count, count >= 0 else {
                if let count, count < -1 { lose(Self.broken(errno: Int32(-count))) }
                return
            }
            outputStart += count
            written += UInt64(count)
        }
        outputStart = 0
        if output.capacity > Self.keptBytes { output = [] } else { output.removeAll(keepingCapacity: true) }
    }

    func tick(at now: Nanoseconds) {
        if attemptDeadline <= now {
            let limit = configuration.connectTimeout
            attemptFailed(
                RedisError(.connectionFailed, "\(configuration.displayName): no answer within \(limit)"))
        }
        if requestDeadline <= now { expire(at: now) }
        if case .waiting(let until) = state, until <= now {
            if waiting.isEmpty { state = .idle } else { connect() }
        }
    }

    private func expire(at now: Nanoseconds) {
        let late = waiting.filter { $0.deadline <= now }
        waiting.removeAll { $0.deadline <= now }
        let unconnected =
            lastFailure
            ?? RedisError(.connectionFailed, "\(configuration.displayName): no connection in time")
        fail(late, RedisError(.connectionFailed, unconnected.message, serverCode: unconnected.serverCode))
        let (expired, next) = queue.expired(at: now)
        requestDeadline = waiting.reduce(next) { min($0, $1.deadline) }
        for request in expired {
            let sent = request.start.map { $0 < written } ?? false
            request.answer(
                .failure(
                    RedisError(
                        .timedOut,
                        "no reply within \(Duration.nanoseconds(Int64(clamping: request.timeout)))",
                        mayHaveRun: sent)))
        }
        // A peer that has answered nothing for two time-outs is taken for dead. Until then the late replies are
        // awaited and dropped, so that a server that was only frozen needs no new connection.
        if let oldest = queue.first, !expired.isEmpty {
            let silence = now - min(now, max(lastReceived, oldest.submittedAt))
            if silence >= 2 * configuration.commandTimeout.nanoseconds {
                lose(
                    RedisError(.connectionLost, "the server has been silent for \(silence / 1_000_000_000) s")
                )
            }
        }
    }

    private func read() {
        for _ in 0..<16 {
            guard let descriptor = state.descriptor else { return }
            let scratch = unsafe loop.scratch
            let count = unsafe fch_read(
                descriptor, scratch.baseAddress?.assumingMemoryBound(to: UInt8.self), scratch.count)
            if count == -1 { return }
            if count == 0 { return lose(RedisError(.connectionLost, "the server closed the connection")) }
            if count < 0 { return lose(Self.broken(errno: Int32(-count))) }
            lastReceived = loop.now
            do {
                try unsafe reader.parse(UnsafeRawBufferPointer(rebasing: scratch[..<count])) {
                    reader throws(RedisError) in try replyArrived(&reader)
                }
            } catch {
                return lose(error)
            }
            if count < scratch.count { return }
        }
    }

    private func replyArrived(_ reader: inout ReplyReader) throws(RedisError) {
        switch queue.replyArrived() {
        case .incomplete: return
        case .complete(let request): request.answer(.success(reader.take(count: request.pipeline.count)))
        case .abandoned: reader.drop()
        case .unexpected: throw RedisError(.protocolBroken, "a reply that nobody asked for")
        }
    }

    private static let keptBytes = 1024 * 1024

    private static func broken(errno: Int32) -> RedisError {
        RedisError(.connectionLost, unsafe String(cString: strerror(errno)))
    }
}
