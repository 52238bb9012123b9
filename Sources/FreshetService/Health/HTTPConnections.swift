internal import Dispatch
internal import Glibc
internal import Synchronization

/// The connections to an `HTTPService`, each on a thread of its own.
final class HTTPConnections: Sendable {
    /// More than any request for health or metrics has.
    static let longestHead = 8192

    private struct State {
        /// In the order of their coming. A descriptor is closed after it has left this list.
        var open: [Int32] = []
        var isStopped = false
    }
    private let state = Mutex(State())
    private let endpoints: Endpoints
    private let limits: Limits

    init(_ endpoints: Endpoints, _ limits: Limits) { (self.endpoints, self.limits) = (endpoints, limits) }

    var isStopped: Bool { state.withLock(\.isStopped) }

    /// Ends all connections; false when that has been done before.
    func stop() -> Bool {
        state.withLock { state in
            guard !state.isStopped else { return false }
            state.isStopped = true
            for file in state.open { shutdown(file, Int32(SHUT_RDWR)) }
            return true
        }
    }

    /// Answers one request on a connection, and closes it. The oldest connection ends when there are too
    /// many.
    func serve(_ file: Int32) {
        state.withLock { state in
            state.open.append(file)
            for file in state.open.dropLast(limits.connections) { shutdown(file, Int32(SHUT_RDWR)) }
            if state.isStopped { shutdown(file, Int32(SHUT_RDWR)) }
        }
        let socket = HTTPSocket(file: file, deadline: .now + limits.lifetime)
        let isStarted = BlockingThread.start { [self] in
            exchange(on: socket)
            close(file)
        }
        if !isStarted { close(file) }
    }

    private func close(_ file: Int32) {
        state.withLock { state in state.open.removeAll { $0 == file } }
        Glibc.close(file)
    }

    private func exchange(on socket: HTTPSocket) {
        var head: [UInt8] = []
        while !Self.isComplete(head) {
            guard head.count < Self.longestHead else {
                _ = socket.write(HTTPResponse(Endpoints.Answer(status: 431, body: "too long\n")).bytes)
                return
            }
            guard let more = socket.read(atMost: 2048), !more.isEmpty else { return }
            head += more
        }
        let line = String(
            decoding: head.prefix { $0 != UInt8(ascii: "\r") && $0 != UInt8(ascii: "\n") }, as: UTF8.self)
        let words = line.split(separator: " ")
        guard words.count == 3, words[2].hasPrefix("HTTP/1.") else {
            _ = socket.write(HTTPResponse(Endpoints.Answer(status: 400, body: "no request\n")).bytes)
            return
        }
        let method = String(words[0])
        guard let answer = answer(method, target: words[1], until: socket.deadline) else { return }
        _ = socket.write(HTTPResponse(answer, hasBody: method != "HEAD").bytes)
    }

    private static func isComplete(_ head: [UInt8]) -> Bool {
        head.firstRange(of: [13, 10, 13, 10]) != nil || head.firstRange(of: [10, 10]) != nil
    }

    /// Waits for the answer, which is worked out by tasks.
    private func answer(_ method: String, target: Substring, until deadline: ContinuousClock.Instant)
        -> Endpoints.Answer?
    {
        let parts = target.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        let (path, query) = (String(parts[0]), parts.count > 1 ? String(parts[1]) : "")
        let (given, isGiven) = (Answered(), DispatchSemaphore(value: 0))
        let task = Task { [endpoints] in
            let answer = await endpoints.answer(method: method, path: path, query: query)
            given.value.withLock { $0 = answer }
            isGiven.signal()
        }
        let left = max(.zero, deadline - .now)
        guard isGiven.wait(timeout: .now() + .nanoseconds(left.nanoseconds)) == .success else {
            task.cancel()
            return nil
        }
        return given.value.withLock { $0 }
    }

    private final class Answered: Sendable { let value = Mutex<Endpoints.Answer?>(nil) }
}

/// An answer as it is sent.
struct HTTPResponse {
    let bytes: [UInt8]

    init(_ answer: Endpoints.Answer, hasBody: Bool = true) {
        var text = "HTTP/1.1 \(answer.status) \(Self.phrase(answer.status))\r\n"
        text += "Content-Type: \(answer.contentType)\r\nContent-Length: \(answer.body.utf8.count)\r\n"
        if let allow = answer.allow { text += "Allow: \(allow)\r\n" }
        text += "Connection: close\r\n\r\n"
        bytes = Array((hasBody ? text + answer.body : text).utf8)
    }

    private static func phrase(_ status: Int) -> String {
        switch status {
        case 200: "OK"
        case 400: "Bad Request"
        case 404: "Not Found"
        case 405: "Method Not Allowed"
        case 431: "Request Header Fields Too Large"
        default: "Service Unavailable"
        }
    }
}
