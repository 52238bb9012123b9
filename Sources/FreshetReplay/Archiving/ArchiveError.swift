/// What is wrong with an archive, or stands in its way.
public struct ArchiveError: Error, Sendable, Hashable, CustomStringConvertible {
    /// The kind of failure. More kinds may come: `switch` with a default.
    public struct Code: Hashable, Sendable, CustomStringConvertible {
        /// The kind in words.
        public let description: String

        /// There is no such folder, topic or partition.
        public static let notFound = Code(description: "not found")
        /// A file is missing or not what the archive says that it is.
        public static let altered = Code(description: "altered")
        /// Entries are gone that are neither in the archive nor in the log.
        public static let lost = Code(description: "lost")
        /// The folder cannot be read or written.
        public static let storage = Code(description: "storage")
        /// Another archiver is at work.
        public static let locked = Code(description: "locked")
        /// The archive and the topic do not fit each other.
        public static let refused = Code(description: "refused")
    }

    /// The kind of failure.
    public let code: Code
    /// What happened, for a person; names the file.
    public let description: String

    init(_ code: Code, _ message: String) {
        self.code = code
        description = message
    }
}
