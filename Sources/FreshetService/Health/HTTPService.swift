internal import FlyingFox
internal import FlyingSocks
internal import FoundationEssentials
internal import Glibc
internal import Logging

/// The process's HTTP server. Its failures are its own: they are logged, and it begins anew.
///
/// Each connection is for one request and has `Limits` to make it in (`ConnectionWatch`): FlyingFox alone would wait for the
/// rest of a request for ever.
final class HTTPService: Sendable {
    /// Where it listens, with the port that it got.
    let address: HTTPAddress
    private let running: Task<Void, Never>
    private let watching: Task<Void, Never>

    /// Listens. Throws `badConfiguration` when it cannot, because another program has the port.
    static func start(
        on address: HTTPAddress, _ endpoints: Endpoints, limits: Limits = Limits(), logger: Logger
    ) async throws -> HTTPService {
        // FlyingFox writes to sockets that may be closed.
        _ = signal(SIGPIPE, SIG_IGN)
        let first = try server(on: address, endpoints)
        let serving = Task { try await first.run() }
        let listening = Task { try await first.waitUntilListening() }
        // A server that cannot listen ends, and nobody would tell those who wait for it.
        let watching = Task {
            _ = await serving.result
            listening.cancel()
        }
        do {
            try await listening.value
        } catch {
            serving.cancel()
            var reason = "it does not begin to listen"
            if case .failure(let failure) = await serving.result { reason = Self.reason(failure) }
            throw ToolError(.badConfiguration, "cannot answer HTTP on \(address): \(reason)")
        }
        watching.cancel()
        var bound = address
        if case .ip4(_, let port)? = await first.listeningAddress { bound.port = Int(port) }
        if case .ip6(_, let port)? = await first.listeningAddress { bound.port = Int(port) }
        return HTTPService(bound, serving, endpoints, limits, logger)
    }

    private init(
        _ address: HTTPAddress, _ first: Task<Void, any Error>, _ endpoints: Endpoints, _ limits: Limits,
        _ logger: Logger
    ) {
        self.address = address
        watching = Task { await ConnectionWatch(port: address.port, limits: limits).run() }
        running = Task {
            var current = first
            while true {
                let result = await withTaskCancellationHandler {
                    await current.result
                } onCancel: { [current] in
                    current.cancel()
                }
                if Task.isCancelled { return }
                if case .failure(let error) = result {
                    logger.warning(
                        "HTTP: beginning anew", metadata: ["reason": "\(Self.reason(error))"])
                }
                do { try await Task.sleep(for: .milliseconds(500)) } catch { return }
                current = Task { try await Self.server(on: address, endpoints).run() }
            }
        }
    }

    deinit { stop() }

    /// Stops at once.
    func stop() {
        running.cancel()
        watching.cancel()
    }

    private static func server(on address: HTTPAddress, _ endpoints: Endpoints) throws -> HTTPServer {
        let handler = ClosureHTTPHandler { request in
            let answer = await endpoints.answer(
                method: request.method.rawValue, path: request.target.path(), query: request.target.query())
            var headers = HTTPHeaders([.contentType: answer.contentType, .connection: "close"])
            if let allow = answer.allow { headers[HTTPHeader("Allow")] = allow }
            let body = Data(answer.body.utf8)
            guard request.method == .HEAD else {
                return HTTPResponse(
                    statusCode: HTTPStatusCode(answer.status, phrase: answer.phrase), headers: headers,
                    body: body)
            }
            headers[.contentLength] = "\(body.count)"
            return HTTPResponse(
                statusCode: HTTPStatusCode(answer.status, phrase: answer.phrase), headers: headers)
        }
        let port = UInt16(address.port)
        func server(_ address: some SocketAddress) -> HTTPServer {
            HTTPServer(address: address, timeout: 5, logger: .disabled, handler: handler)
        }
        return address.isVersion6
            ? server(try sockaddr_in6.inet6(ip6: address.host, port: port))
            : server(try sockaddr_in.inet(ip4: address.host, port: port))
    }

    private static func reason(_ error: any Error) -> String {
        if case SocketError.failed(_, _, let message) = error { return message }
        return "\(error)"
    }
}

extension Endpoints.Answer {
    fileprivate var phrase: String {
        switch status {
        case 200: "OK"
        case 404: "Not Found"
        case 405: "Method Not Allowed"
        default: "Service Unavailable"
        }
    }
}
