internal import CHiredisShims
internal import DequeModule
internal import Glibc

/// What the loop calls: reading, writing, and what is due.
extension ConnectionCore {
    var interest: LoopInterest? {
        switch state {
        case .connecting(let link, _): LoopInterest(descriptor: link.descriptor, reads: false, writes: true)
        case .securing(let link, let wantsWrite):
            LoopInterest(descriptor: link.descriptor, reads: !wantsWrite, writes: wantsWrite)
        case .greeting(let link), .ready(let link):
            LoopInterest(descriptor: link.descriptor, reads: true, writes: outputStart < output.count)
        case .idle, .locating, .waiting, .closed: nil
        }
    }

    var deadline: Nanoseconds? {
        var next = min(attemptDeadline, addressDeadline, requestDeadline, silenceDeadline)
        if case .waiting(let until) = state { next = min(next, until) }
        return next == .max ? nil : next
    }

    func ready(canRead: Bool) {
        switch state {
        case .connecting(let link, let route): connected(link, route)
        case .securing: secure()
        default: if canRead { read() }
        }
    }

    func cannotBePolled(errno: Int32) {
        lose(explained(RedisError(.connectionLost, errno: errno)))
    }

    func flush() {
        metrics.report(&tally, commandsInFlight: queue.commands)
        guard outputStart < output.count else { return }
        let link: Link
        switch state {
        case .greeting(let open), .ready(let open): link = open
        default: return
        }
        while outputStart < output.count {
            let outcome = unsafe output.withUnsafeBufferPointer { bytes in
                unsafe link.write(UnsafeBufferPointer(rebasing: bytes[outputStart...]))
            }
            switch outcome {
            case .moved(let count):
                outputStart += count
                written += UInt64(count)
                tally.sentBytes += count
            case .wouldBlock: return dropSent()
            case .ended: return lose(explained(Self.hungUp))
            case .failed(let error): return lose(explained(error))
            }
        }
        outputStart = 0
        if output.capacity > Self.keptBytes { output = [] } else { output.removeAll(keepingCapacity: true) }
    }

    /// The buffer must not grow with all that ever passed through it on a link that is always full.
    private func dropSent() {
        guard outputStart > Self.keptBytes, outputStart > output.count / 2 else { return }
        output.removeFirst(outputStart)
        outputStart = 0
    }

    func tick(at now: Nanoseconds) {
        if attemptDeadline <= now {
            var reason = "no answer within \(configuration.connectTimeout)"
            if case .securing = state {
                reason =
                    "no answer to the TLS handshake within \(configuration.connectTimeout); a server without TLS "
                reason += "needs a redis:// URL"
            }
            attemptFailed(failed(reason))
        } else if addressDeadline <= now, case .connecting(let link, let route) = state {
            tryNext(after: link, route, failed("no answer"))
        }
        tellSilence(at: now)
        if requestDeadline <= now { expire(at: now) }
        if case .waiting(let until) = state, until <= now {
            if waiting.isEmpty && !isSubscriber { state = .idle } else { connect() }
        }
    }

    private var isSubscriber: Bool { if case .subscriber = role { true } else { false } }

    private func expire(at now: Nanoseconds) {
        let late = waiting.filter { $0.deadline <= now }
        waiting.removeAll { $0.deadline <= now || $0.isAnswered }
        if !late.isEmpty {
            let reason: RedisError =
                if case .ready = state { RedisError(.timedOut, "no room on the connection in time") } else {
                    RedisError(
                        .connectionFailed, lastFailure?.message ?? named(Self.noConnection).message,
                        serverCode: lastFailure?.serverCode)
                }
            fail(late, reason)
        }
        let (expired, next) = queue.expired(at: now)
        requestDeadline = waiting.reduce(next) { min($0, $1.deadline) }
        for request in expired {
            let sent = request.start != nil
            let limit = Duration.nanoseconds(Int64(clamping: request.timeout))
            fail([request], RedisError(.timedOut, "no reply within \(limit)", mayHaveRun: sent))
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
        var rounds = 0
        while let link = state.link {
            // After so many full buffers others have their turn; what TLS has decrypted already no poll would announce.
            rounds += 1
            let scratch = unsafe loop.scratch
            let limit = rounds <= 16 ? scratch.count : min(link.pending, scratch.count)
            guard limit > 0 else { break }
            let count: Int
            switch unsafe link.read(into: UnsafeMutableRawBufferPointer(rebasing: scratch[..<limit])) {
            case .moved(let moved): count = moved
            case .wouldBlock: return settle()
            case .ended: return lose(explained(Self.hungUp))
            case .failed(let error): return lose(explained(error))
            }
            lastReceived = loop.now
            tally.receivedBytes += count
            do {
                try unsafe reader.parse(UnsafeRawBufferPointer(rebasing: scratch[..<count])) {
                    reader throws(RedisError) in try replyArrived(&reader)
                }
            } catch {
                return lose(explained(error))
            }
            if count < limit { break }
        }
        settle()
    }

    /// Replies have made room.
    private func settle() {
        guard case .ready = state else { return }
        if isRetiring && queue.isEmpty {
            lose(RedisError(.connectionLost, "the server takes no writes any more (READONLY)"))
        } else if !waiting.isEmpty {
            writeWaiting()
        }
    }

    private func replyArrived(_ reader: inout ReplyReader) throws(RedisError) {
        switch queue.replyArrived() {
        case .incomplete: return
        case .complete(let request):
            let hasErrors = reader.hasErrors
            let replies = reader.take(count: request.pipeline.count)
            if hasErrors { inspect(replies) }
            metrics.answered(after: loop.now - min(loop.now, request.submittedAt))
            request.answer(.success(replies))
        case .abandoned: reader.drop()
        case .unexpected:
            guard case .subscriber(_, let onMessage) = role else {
                throw RedisError(.protocolBroken, "a reply that nobody asked for")
            }
            onMessage(reader.take(count: 1))
        }
    }

    /// A server that has become a replica is left, for the primary to be looked for again.
    private func inspect(_ replies: RedisReplies) {
        guard case .ready = state else { return }
        for error in replies.lazy.compactMap(\.error) {
            metrics.failed(error)
            if error.serverCode == .readOnly { isRetiring = true }
        }
    }

    private static let keptBytes = 1024 * 1024
    private static let hungUp = RedisError(.connectionLost, "the server closed the connection")
    private static let noConnection = RedisError(.connectionFailed, "no connection in time")
}

extension RedisError {
    /// An error of the socket.
    init(_ code: Code, errno: Int32) {
        self.init(code, unsafe String(cString: strerror(errno)))
    }
}
