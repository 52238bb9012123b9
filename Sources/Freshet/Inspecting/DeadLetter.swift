public import Hiredis

/// An event that was given up, or could not be read.
public struct DeadLetter: Sendable, Codable {
    /// Where it stands among the dead letters of its partition.
    public let id: StreamID
    /// The partition, from 0.
    public let partition: Int
    /// Where it stood in the log; nil when the entry does not say.
    public let position: StreamID?
    /// The event's id; empty when it has none.
    public let eventID: String
    /// The event's source; empty when it has none.
    public let source: String
    /// The event's type; empty when it has none.
    public let type: String
    /// How many attempts failed.
    public let attempts: Int
    /// How often it was brought back from the dead letters before.
    public let retries: Int
    /// Why it was given up.
    public let reason: String
    /// The reason without what differs from one event to the next: its first line, numbers as `#`. Those of one kind of failure
    /// have the same.
    public let error: String
    /// When it was given up, RFC 3339.
    public let failedAt: String

    /// What this entry of a dead-letter or invalid stream says.
    package init(_ entry: StreamEntry, partition: Int) {
        func text(_ name: String) -> String { entry.field(name)?.string ?? "" }
        id = entry.id
        self.partition = partition
        position = entry.originalID
        eventID = text("id")
        source = text("source")
        type = text("type")
        attempts = entry.field(Field.attempt)?.integer ?? 0
        retries = entry.field(Field.retries)?.integer ?? 0
        reason = text(Field.reason)
        error = Self.error(of: reason)
        failedAt = text(Field.failedAt)
    }

    static func error(of reason: String) -> String {
        var text = ""
        // A word with a digit in it (a number, an id, a UUID) is a number.
        for word in reason.prefix(while: { !$0.isNewline }).split(
            separator: " ", maxSplits: 100, omittingEmptySubsequences: false)
        {
            if !text.isEmpty { text += " " }
            let parts = word.split(omittingEmptySubsequences: false) {
                !$0.isLetter && !$0.isNumber && $0 != "-" && $0 != "."
            }
            var rest = word[...]
            for part in parts {
                guard let range = rest.firstRange(of: part) else { continue }
                text += rest[..<range.lowerBound]
                text += part.contains(where: \.isNumber) ? "#" : part
                rest = rest[range.upperBound...]
            }
            text += rest
        }
        return String(text.prefix(200))
    }
}

/// Which dead letters are meant, by what they are; all of them, unless something narrows it.
public struct DeadLetterFilter: Sendable, Hashable {
    /// Only events of this type; nil is any.
    public var type: EventType?
    /// Only those that failed so, as `DeadLetter.error` says; nil is anyhow.
    public var error: String?

    /// All.
    public init(type: EventType? = nil, error: String? = nil) {
        self.type = type
        self.error = error
    }

    /// Whether this letter is meant.
    public func includes(_ letter: DeadLetter) -> Bool {
        (type.map { $0.rawValue == letter.type } ?? true) && (error.map { $0 == letter.error } ?? true)
    }
}

/// A group's dead letters of a topic, partition after partition, each oldest first, read page by page.
public struct DeadLetters: AsyncSequence, Sendable {
    let broker: Broker
    let topic: Topic
    let group: GroupName
    let kind: SetAside

    /// Reads from the first one.
    public func makeAsyncIterator() -> Iterator { Iterator(letters: self) }

    /// Reads on, a page at a time.
    public struct Iterator: AsyncIteratorProtocol {
        private let letters: DeadLetters
        private var partition = 0
        private var entries: StreamEntries.Iterator

        init(letters: DeadLetters) {
            self.letters = letters
            entries = letters.entries(of: 0)
        }

        /// The next dead letter, or nil when there are no more.
        public mutating func next() async throws(FreshetError) -> DeadLetter? {
            while true {
                if let entry = try await entries.next() { return DeadLetter(entry, partition: partition) }
                guard partition + 1 < letters.topic.partitions else { return nil }
                partition += 1
                entries = letters.entries(of: partition)
            }
        }
    }

    private func entries(of partition: Int) -> StreamEntries.Iterator {
        broker.entries(of: broker.keys(topic.name, partition).setAside(kind, group)).makeAsyncIterator()
    }
}
