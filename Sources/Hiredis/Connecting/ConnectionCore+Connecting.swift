internal import CHiredisShims
internal import Glibc

/// From a route to a connection that commands may use: connect, secure, greet.
extension ConnectionCore {
    /// Starts to connect to the first address of the route that does not refuse at once.
    func open(_ route: Route) {
        var route = route
        server = route.server
        var reason = "no address"
        while let address = route.addresses.popFirst() {
            var text = [CChar](repeating: 0, count: 256)
            let descriptor =
                switch route.server {
                case .unix: unsafe fch_connect_unix(address, &text, text.count)
                case .tcp(_, let port): unsafe fch_connect_tcp(address, Int32(port), &text, text.count)
                }
            if descriptor >= 0 {
                state = .connecting(Link(descriptor: descriptor), route)
                // An address that swallows everything must leave time for the others.
                let left = attemptDeadline - min(attemptDeadline, loop.now)
                addressDeadline =
                    route.addresses.isEmpty
                    ? .max : loop.now &+ left / UInt64(route.addresses.count + 1)
                return
            }
            reason = String(nullTerminated: text)
        }
        attemptFailed(failed(reason))
    }

    /// The socket's connect has ended, one way or the other.
    func connected(_ link: Link, _ route: Route) {
        let error = fch_connect_result(link.descriptor)
        guard error == 0 else {
            return tryNext(after: link, route, failed(unsafe String(cString: strerror(error))))
        }
        addressDeadline = .max
        guard let context = route.security, case .tcp(let host, _) = route.server else { return greet(link) }
        do {
            var link = link
            link.session = try TLSSession(context, descriptor: link.descriptor, host: host)
            state = .securing(link, wantsWrite: true)
            secure()
        } catch {
            attemptFailed(error)
        }
    }

    /// Gives this address up, for the next one if there is one.
    func tryNext(after link: Link, _ route: Route, _ error: RedisError) {
        guard !route.addresses.isEmpty else { return attemptFailed(error) }
        close(link)
        state = .locating(attempt: attempts)  // the link is closed already, should no other address do
        open(route)
    }

    /// One step of the handshake.
    func secure() {
        guard case .securing(let link, _) = state else { return }
        var wantsWrite = false
        switch link.handshake(wantsWrite: &wantsWrite) {
        case .moved: greet(link)
        case .wouldBlock: state = .securing(link, wantsWrite: wantsWrite)
        case .ended:
            attemptFailed(failed("the server hung up during the TLS handshake: does it speak TLS here?"))
        case .failed(let error): attemptFailed(named(error))
        }
    }

    private func greet(_ link: Link) {
        reader = ReplyReader(maxReplyBytes: configuration.maxReplyBytes)
        (written, appended, output, outputStart) = (0, 0, [], 0)
        lastReceived = loop.now
        state = .greeting(link)
        let greeting = Request(Greeting.pipeline(for: configuration), timeout: configuration.connectTimeout)
        greeting.submittedAt = loop.now
        greeting.caller = .closure { [unowned(safe) self] outcome in greeted(outcome) }
        greeting.deadline = .max  // the attempt's own deadline covers it
        write(greeting)
    }

    private func greeted(_ outcome: Request.Outcome) {
        guard case .greeting(let link) = state, case .success(let replies?) = outcome else { return }
        switch Greeting.verdict(on: replies, configuration: configuration) {
        case .refused(let error): attemptFailed(named(error))
        case .welcome(let connectionID): established(link, connectionID: connectionID)
        }
    }

    /// A broken connection's error for people. One that breaks before the server has said a word has usually TLS on one
    /// side only; on one that worked, what TLS complains about is a broken connection like any other.
    func explained(_ error: RedisError) -> RedisError {
        switch state {
        case .greeting where configuration.tls == nil && error.code != .closed:
            let reason = error.code == .protocolBroken ? "the answer is not Redis' protocol" : error.message
            return failed("\(reason); a server that expects TLS needs a rediss:// URL")
        case .ready where error.code == .tls: return named(RedisError(.connectionLost, error.message))
        default: return named(error)
        }
    }

    func failed(_ reason: String) -> RedisError { named(RedisError(.connectionFailed, reason)) }

    /// The same error with the server's name in front.
    func named(_ error: RedisError) -> RedisError {
        var name = configuration.displayName
        if case .sentinel = configuration.servers, let server { name += " at \(server)" }
        return RedisError(
            error.code, "\(name): \(error.message)", serverCode: error.serverCode,
            mayHaveRun: error.mayHaveRun)
    }
}
