internal import FoundationEssentials
internal import Glibc
internal import Hiredis

/// A collector of traces on a port of its own: takes OTLP/HTTP in JSON, or behaves as badly as it is told.
package final class TraceCollector: Sendable {
    /// What it does with a request.
    package enum Answer: Sendable {
        /// Takes it.
        case take
        /// Takes it but for so many spans.
        case reject(Int)
        /// Answers with this status, and after how many seconds to come again.
        case status(Int, retryAfter: Int? = nil)
        /// Says nothing until it is stopped.
        case hang
        /// Closes the connection.
        case close
    }

    /// A request as it came.
    package struct Request: Sendable {
        package let path: String
        /// By their names in lower case.
        package let headers: [String: String]
        package let body: [UInt8]
    }

    /// A span as it came.
    package struct Span: Sendable, Decodable {
        package struct Attribute: Sendable, Decodable {
            package struct Value: Sendable, Decodable {
                package let stringValue: String?
                package let intValue: String?
            }
            package let key: String
            package let value: Value
        }
        package struct Link: Sendable, Decodable { package let traceId, spanId: String }
        package struct Status: Sendable, Decodable { package let code: Int }
        package let traceId, spanId, name, startTimeUnixNano, endTimeUnixNano: String
        package let kind: Int
        package let parentSpanId: String?
        package let attributes: [Attribute]?
        package let links: [Link]?
        package let status: Status?

        /// The text of an attribute.
        package subscript(key: String) -> String? {
            let value = attributes?.first { $0.key == key }?.value
            return value?.stringValue ?? value?.intValue
        }
    }

    private struct Body: Decodable {
        struct ResourceSpans: Decodable {
            struct Resource: Decodable { let attributes: [Span.Attribute] }
            struct ScopeSpans: Decodable { let spans: [Span] }
            let resource: Resource
            let scopeSpans: [ScopeSpans]
        }
        let resourceSpans: [ResourceSpans]
    }

    /// Where it listens, as `OTEL_EXPORTER_OTLP_ENDPOINT` has it.
    package let endpoint: String
    /// The requests so far, those that were not taken included.
    package let requests = Record<Request>()
    private let taken = Record<Request>()
    private let listener: Int32
    private let connections = Record<Int32>()
    private let answer: @Sendable (Int) -> Answer

    /// - Parameters:
    ///   - port: on 127.0.0.1.
    ///   - answer: what it does with each request, by its number from 0.
    package init(port: Int = freePort(), _ answer: @escaping @Sendable (Int) -> Answer = { _ in .take })
        throws
    {
        endpoint = "http://127.0.0.1:\(port)"
        self.answer = answer
        listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var yes: Int32 = 1
        unsafe setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<Int32>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = UInt16(port).bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        let isBound = unsafe withUnsafePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe bind(listener, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
            }
        }
        guard isBound, listen(listener, 64) == 0 else {
            close(listener)
            throw UnixSocket.ListenError(description: "port \(port): \(errno)")
        }
        UnixSocket.thread { [listener, weak self] in
            while case let connection = accept(listener, nil, nil), connection >= 0 {
                guard let self else { return }
                self.connections.add(connection)
                UnixSocket.thread { self.serve(connection) }
            }
        }
    }

    /// Takes no more, and ends what hangs.
    package func stop() {
        shutdown(listener, Int32(SHUT_RDWR))
        for connection in connections.all { shutdown(connection, Int32(SHUT_RDWR)) }
    }

    /// The spans of the requests that were taken, with the name of the service each is of.
    package func spans() throws -> [(service: String, span: Span)] {
        try taken.all.flatMap { request in
            try JSONDecoder().decode(Body.self, from: Data(request.body)).resourceSpans.flatMap { resource in
                let service =
                    resource.resource.attributes.first { $0.key == "service.name" }?.value.stringValue ?? ""
                return resource.scopeSpans.flatMap(\.spans).map { (service, $0) }
            }
        }
    }

    private func serve(_ connection: Int32) {
        var bytes: [UInt8] = []
        while let request = Self.read(from: connection, &bytes) {
            requests.add(request)
            switch answer(requests.count - 1) {
            case .take:
                taken.add(request)
                Self.send(200, "{}", to: connection)
            case .reject(let count):
                taken.add(request)
                let body = #"{"partialSuccess":{"rejectedSpans":"\#(count)","errorMessage":"too old"}}"#
                Self.send(200, body, to: connection)
            case .status(let status, let retryAfter):
                Self.send(status, "", ["Retry-After": retryAfter.map(String.init)], to: connection)
            case .hang: _ = Self.more(from: connection)
            case .close: shutdown(connection, Int32(SHUT_RDWR))
            }
        }
        shutdown(connection, Int32(SHUT_RDWR))
    }

    private static func send(
        _ status: Int, _ body: String, _ headers: [String: String?] = [:], to connection: Int32
    ) {
        var text = "HTTP/1.1 \(status) Status\r\nContent-Type: application/json\r\n"
        for case (let name, let value?) in headers { text += "\(name): \(value)\r\n" }
        text += "Content-Length: \(body.utf8.count)\r\n\r\n\(body)"
        _ = UnixSocket.send(Array(text.utf8)[...], to: connection)
    }

    /// Nil at the end of the connection.
    private static func read(from connection: Int32, _ bytes: inout [UInt8]) -> Request? {
        let end = Array("\r\n\r\n".utf8)
        while true {
            if let head = bytes.firstRange(of: end) {
                let lines = String(decoding: bytes[..<head.lowerBound], as: UTF8.self)
                    .split(separator: "\r\n").map(String.init)
                var headers: [String: String] = [:]
                for line in lines.dropFirst() {
                    let sides = line.split(separator: ":", maxSplits: 1)
                    guard sides.count == 2 else { continue }
                    headers[sides[0].lowercased()] = String(sides[1].drop { $0 == " " })
                }
                let length = headers["content-length"].flatMap { Int($0) } ?? 0
                if bytes.count >= head.upperBound + length {
                    let body = Array(bytes[head.upperBound..<head.upperBound + length])
                    bytes.removeFirst(head.upperBound + length)
                    let path = lines.first?.split(separator: " ").dropFirst().first ?? ""
                    return Request(path: String(path), headers: headers, body: body)
                }
            }
            let more = more(from: connection)
            if more.isEmpty { return nil }
            bytes += more
        }
    }

    private static func more(from connection: Int32) -> [UInt8] {
        unsafe [UInt8](unsafeUninitializedCapacity: 64 * 1024) { buffer, count in
            unsafe count = max(0, Glibc.read(connection, buffer.baseAddress, buffer.count))
        }
    }
}
