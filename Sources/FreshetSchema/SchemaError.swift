/// What went wrong with schemas.
public struct SchemaError: Error, Sendable, CustomStringConvertible {
    /// The kind of failure. More kinds may come: `switch` with a default.
    public struct Code: Hashable, Sendable, CustomStringConvertible {
        /// The kind in words.
        public let description: String

        /// A type whose schema does not follow from how it is decoded.
        public static let underivable = Code(description: "underivable")
        /// Two services that say different things of one event.
        public static let conflict = Code(description: "conflict")
        /// A document that is not what it should be.
        public static let unreadable = Code(description: "unreadable")
    }

    /// The kind of failure.
    public let code: Code
    /// What happened, for a person.
    public let description: String

    /// An error of this kind.
    public init(_ code: Code, _ message: String) {
        self.code = code
        description = message
    }
}
