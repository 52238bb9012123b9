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
