/// A name that travels: checked when it is made, compared and printed as its text.
public protocol Identifier: Sendable, Hashable, Comparable, CustomStringConvertible, Codable,
    ExpressibleByStringLiteral
{
    /// The text.
    var rawValue: String { get }
    /// What this names, for errors: "topic", "group".
    static var noun: String { get }
    /// The text as it is; `init(checking:)` is for text from outside.
    init(unchecked rawValue: String)
}

extension Identifier {
    /// A name from outside: 1 to 128 of the letters, digits and `. _ -` that are safe in a key, a URL and a shell.
    public init(checking text: String) throws(FreshetError) {
        let isSafe = text.utf8.allSatisfy { byte in
            (48...57).contains(byte) || (65...90).contains(byte) || (97...122).contains(byte)
                || byte == 45 || byte == 46 || byte == 95
        }
        guard isSafe, (1...128).contains(text.utf8.count) else {
            throw FreshetError(
                .invalidName, "'\(text)' is no \(Self.noun): 1 to 128 letters, digits, '.', '_' or '-'")
        }
        self.init(unchecked: text)
    }

    /// A name in the program's own text; one that is not a name is a programmer's error.
    public init(stringLiteral text: String) {
        do { try self.init(checking: text) } catch { preconditionFailure("\(error)") }
    }

    /// A name in a document, checked.
    public init(from decoder: any Decoder) throws {
        try self.init(checking: decoder.singleValueContainer().decode(String.self))
    }

    /// The text.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(rawValue)
    }

    /// The text.
    public var description: String { rawValue }

    /// By text.
    public static func < (left: Self, right: Self) -> Bool { left.rawValue < right.rawValue }
}

/// What every key of one system begins with, so that several share a server.
public struct Namespace: Identifier {
    /// The text.
    public let rawValue: String
    /// "namespace".
    public static let noun = "namespace"
    /// The text as it is.
    public init(unchecked rawValue: String) { self.rawValue = rawValue }
}

/// The consumers that share one copy of a topic's events: a service.
public struct GroupName: Identifier {
    /// The text.
    public let rawValue: String
    /// "group".
    public static let noun = "group"
    /// The text as it is.
    public init(unchecked rawValue: String) { self.rawValue = rawValue }
}

/// One process of a group. Two processes must never share a name.
public struct ConsumerName: Identifier {
    /// The text.
    public let rawValue: String
    /// "consumer".
    public static let noun = "consumer"
    /// The text as it is.
    public init(unchecked rawValue: String) { self.rawValue = rawValue }
}

/// What happened, dotted and in the past tense: `order.placed`.
public struct EventType: Identifier {
    /// The text.
    public let rawValue: String
    /// "event type".
    public static let noun = "event type"
    /// The text as it is.
    public init(unchecked rawValue: String) { self.rawValue = rawValue }
}

/// Where an entry stands in a stream: the server's milliseconds and a sequence number. It is a position, never an
/// identity: after a failover or a restore the same id can name another entry.
public struct StreamID: Sendable, Hashable, Comparable, CustomStringConvertible {
    /// The server's clock when the entry was added, in milliseconds since 1970.
    public var milliseconds: UInt64
    /// Counts the entries of one millisecond.
    public var sequence: UInt64

    /// Before every entry.
    public static let zero = StreamID(milliseconds: 0, sequence: 0)

    /// The position with these parts.
    public init(milliseconds: UInt64, sequence: UInt64) {
        self.milliseconds = milliseconds
        self.sequence = sequence
    }

    /// `1700000000000-0`, or `1700000000000` for its first entry; nil when it is neither.
    public init?(_ text: some StringProtocol) {
        let parts = text.split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false)
        guard let first = parts.first, let milliseconds = UInt64(first), first.first != "+" else {
            return nil
        }
        guard parts.count == 2 else {
            self.init(milliseconds: milliseconds, sequence: 0)
            return
        }
        guard let sequence = UInt64(parts[1]), parts[1].first != "+" else { return nil }
        self.init(milliseconds: milliseconds, sequence: sequence)
    }

    /// As Redis writes it.
    public var description: String { "\(milliseconds)-\(sequence)" }

    /// In the order of the stream.
    public static func < (left: StreamID, right: StreamID) -> Bool {
        (left.milliseconds, left.sequence) < (right.milliseconds, right.sequence)
    }

    /// The position just before this one; nil at the very first.
    public var predecessor: StreamID? {
        if sequence > 0 { return StreamID(milliseconds: milliseconds, sequence: sequence - 1) }
        return milliseconds > 0 ? StreamID(milliseconds: milliseconds - 1, sequence: .max) : nil
    }
}
