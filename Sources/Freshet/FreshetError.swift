public import Hiredis

/// What went wrong in the streams library.
public struct FreshetError: Error, Sendable, CustomStringConvertible {
    /// The kind of failure. More kinds may come: `switch` with a default.
    public struct Code: Hashable, Sendable, CustomStringConvertible {
        /// The kind in words.
        public let description: String

        /// A text that is not a name of a topic, group, ...
        public static let invalidName = Code(description: "invalid name")
        /// Data that is not what its type says.
        public static let invalidData = Code(description: "invalid data")
        /// An entry that is not an event.
        public static let invalidEvent = Code(description: "invalid event")
        /// An event of a newer version than this program knows.
        public static let newerVersion = Code(description: "newer version")
        /// A program's versions of an event that do not lead from one to the next.
        public static let versionGap = Code(description: "version gap")
        /// The server, or the way to it; `cause` has the details.
        public static let broker = Code(description: "broker")
        /// Something named does not exist.
        public static let notFound = Code(description: "not found")
        /// The topic holds as many events as it may.
        public static let full = Code(description: "full")
        /// The event was published, and has not survived what it should have: see `Durability`.
        public static let notDurable = Code(description: "not durable")
        /// Another process holds the lock. Retry later.
        public static let busy = Code(description: "busy")
        /// A request that cannot be met as things stand.
        public static let refused = Code(description: "refused")
    }

    /// The kind of failure.
    public let code: Code
    /// What happened, for a person. Never holds a password.
    public let message: String
    /// The server's or connection's error, when that is the reason.
    public let cause: RedisError?

    /// An error of this kind.
    public init(_ code: Code, _ message: String, cause: RedisError? = nil) {
        self.code = code
        self.message = message
        self.cause = cause
    }

    /// A failure of the server or the way to it.
    public init(_ cause: RedisError) { self.init(.broker, cause.description, cause: cause) }

    /// Whether the same call may succeed later, without anyone changing anything.
    public var isRetryable: Bool { cause?.isRetryable ?? (code == .full || code == .busy) }
    /// Whether what was asked may have been done all the same.
    public var mayHaveRun: Bool { cause?.mayHaveRun ?? (code == .notDurable) }
    /// The reason.
    public var description: String { message }
}
