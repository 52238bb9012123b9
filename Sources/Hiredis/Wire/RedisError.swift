/// What went wrong with a command or a connection, and whether the command may have run all the same.
public struct RedisError: Error, Sendable, CustomStringConvertible {
    /// The kind of failure. More kinds may come: `switch` with a default.
    public struct Code: Hashable, Sendable, CustomStringConvertible {
        /// The kind in words.
        public let description: String

        /// The server answered with an error; `serverCode` has its first word, `remedy` what helps.
        public static let server = Code(description: "server error")
        /// No connection could be made in time. The command was not sent.
        public static let connectionFailed = Code(description: "cannot connect")
        /// The server refused the credentials, or the user may not do this.
        public static let authentication = Code(description: "not authorised")
        /// The connection broke while the command was under way.
        public static let connectionLost = Code(description: "connection lost")
        /// The reply did not come in time.
        public static let timedOut = Code(description: "timed out")
        /// TLS refused the server, or the server refused our certificate.
        public static let tls = Code(description: "TLS failed")
        /// The peer does not speak the protocol.
        public static let protocolBroken = Code(description: "protocol broken")
        /// A reply was larger than `maxReplyBytes`; the connection was closed and made anew. Ask for less.
        public static let replyTooLarge = Code(description: "reply too large")
        /// The task that waited was cancelled.
        public static let cancelled = Code(description: "cancelled")
        /// The client was closed.
        public static let closed = Code(description: "client closed")
        /// A URL or option that cannot be used.
        public static let invalidConfiguration = Code(description: "invalid configuration")
        /// A reply of a shape that the command never gives.
        public static let unexpectedReply = Code(description: "unexpected reply")
    }

    /// The kind of failure.
    public let code: Code
    /// What happened, for a person. Never holds a password or a payload.
    public let message: String
    /// The first word of the server's error, when the server gave one.
    public let serverCode: RedisServerCode?
    /// Whether the server may have executed the command although no reply came. Only a command that is safe to
    /// repeat, or is deduplicated, may then be sent again.
    public let mayHaveRun: Bool

    /// An error of this kind.
    public init(_ code: Code, _ message: String, serverCode: RedisServerCode? = nil, mayHaveRun: Bool = false)
    {
        self.code = code
        self.message = message
        self.serverCode = serverCode
        self.mayHaveRun = mayHaveRun
    }

    /// Whether the same command may succeed later, without anyone changing anything. See `mayHaveRun` before sending a
    /// command again.
    public var isRetryable: Bool {
        switch remedy {
        case .retryAfterPause, .findServer: true
        case .mayHaveRun: code == .connectionLost || code == .timedOut
        case .loadScript, .none: false
        }
    }

    /// The code, the reason, and for an ambiguous failure that it is one.
    public var description: String {
        "\(code): \(message)\(mayHaveRun ? " (the command may have run)" : "")"
    }

    static func server(_ text: String) -> RedisError {
        let first = text.prefix { $0 != " " }
        let isCode = !first.isEmpty && first.allSatisfy { $0.isASCII && ($0.isUppercase || $0 == "_") }
        let word = isCode ? RedisServerCode(rawValue: String(first)) : nil
        let refused = word == .wrongPassword || word == .noAuthentication || word == .noPermission
        return RedisError(refused ? .authentication : .server, text, serverCode: word)
    }
}
