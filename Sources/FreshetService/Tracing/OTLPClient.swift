internal import CCurlShims
internal import Dispatch
internal import Hiredis

/// Sends requests to a collector, one at a time: by libcurl, on a thread of its own.
///
/// `@unchecked Sendable` because libcurl's handle is used on the queue alone, and `fcu_client_abort` may be called from any thread.
@safe
final class OTLPClient: @unchecked Sendable {
    enum Answer: Sendable, Equatable {
        /// Taken. Spans may have been refused all the same.
        case taken(body: [UInt8])
        /// Not now.
        case later(after: Duration?, reason: String)
        case refused(reason: String)
    }

    private let endpoint: OTLPEndpoint
    private let client: OpaquePointer
    private let queue = DispatchQueue(label: "freshet.traces")

    /// Nil when the memory is used up.
    init?(_ endpoint: OTLPEndpoint) {
        guard let client = unsafe fcu_client_create() else { return nil }
        self.endpoint = endpoint
        unsafe self.client = unsafe client
    }

    deinit { unsafe fcu_client_free(client) }

    /// Ends the request that is under way, and those to come.
    func abort() { unsafe fcu_client_abort(client) }

    func send(_ body: [UInt8], within limit: Duration) async -> Answer {
        await withCheckedContinuation { continuation in
            queue.async { [self] in continuation.resume(returning: post(body, within: limit)) }
        }
    }

    private func post(_ body: [UInt8], within limit: Duration) -> Answer {
        let lines = ["Content-Type: application/json", "Expect:"] + endpoint.headers
        let milliseconds = max(1, min(limit, endpoint.timeout).inMilliseconds)
        var answer = fcu_answer()
        unsafe withCStrings(lines) { headers in
            unsafe body.withUnsafeBytes { bytes in
                unsafe fcu_post(
                    client, endpoint.url, headers, bytes.baseAddress, bytes.count, Int(milliseconds),
                    endpoint.caFile, endpoint.clientCertificate, endpoint.clientKey, &answer)
            }
        }
        let status = answer.status
        switch status {
        case 200..<300:
            let taken = unsafe withUnsafeBytes(of: &answer.body) {
                unsafe Array($0.prefix(answer.body_length))
            }
            return .taken(body: taken)
        case 429, 502, 503, 504:
            let wait = answer.retry_after > 0 ? Duration.seconds(min(answer.retry_after, 3600)) : nil
            return .later(after: wait, reason: "status \(status)")
        case 0:
            let reason = unsafe withUnsafeBytes(of: &answer.error) { error in
                unsafe String(decoding: error.prefix { $0 != 0 }, as: UTF8.self)
            }
            return .later(after: nil, reason: reason)
        default: return .refused(reason: "status \(status)")
        }
    }
}

/// Calls the body with a list of C strings that ends with NULL.
private func withCStrings(_ texts: [String], _ body: (UnsafePointer<UnsafePointer<CChar>?>) -> Void) {
    var bytes: [CChar] = []
    var starts: [Int] = []
    for text in texts {
        starts.append(bytes.count)
        bytes += text.utf8.map { CChar(bitPattern: $0) } + [0]
    }
    unsafe bytes.withUnsafeBufferPointer { buffer in
        let pointers =
            unsafe starts.map { start in unsafe buffer.baseAddress.map { unsafe $0 + start } } + [nil]
        unsafe pointers.withUnsafeBufferPointer { list in
            if let first = list.baseAddress { unsafe body(first) }
        }
    }
}
