public import Freshet
public import Hiredis

/// Where a replay's events come from.
public struct ReplaySource: Sendable, Hashable, Codable {
    /// The kinds of source.
    public enum Kind: String, Sendable, Codable {
        /// The topic's log, and before it the archive, when one is named.
        case history
        /// What the target's group has set aside after its last attempt.
        case dead
        /// A file of NDJSON, as the target `file` writes it.
        case file
    }
    /// The kind.
    public let kind: Kind
    /// The archive's folder, or the file; nil when there is none.
    public let path: String?

    /// The topic's log, and before it the archive in this folder.
    public static func history(archive folder: String? = nil) -> ReplaySource {
        ReplaySource(kind: .history, path: folder)
    }
    /// The dead letters of the target's group: what is redelivered leaves them.
    public static let dead = ReplaySource(kind: .dead, path: nil)
    /// A file.
    public static func file(_ path: String) -> ReplaySource { ReplaySource(kind: .file, path: path) }
}

/// Where a replay's events go.
public struct ReplayTarget: Sendable, Hashable, Codable {
    /// The kinds of target.
    public enum Kind: String, Sendable, Codable {
        /// A group's redelivery stream: it alone sees them, beside its live reading.
        case group
        /// Another topic: published anew, with the same `source` and `id`.
        case topic
        /// A file of NDJSON.
        case file
    }
    /// The kind.
    public let kind: Kind
    /// The group, the topic or the file.
    public let name: String

    /// This group sees them again.
    public static func group(_ group: GroupName) -> ReplayTarget {
        ReplayTarget(kind: .group, name: group.rawValue)
    }
    /// They are published to this topic.
    public static func topic(_ topic: TopicName) -> ReplayTarget {
        ReplayTarget(kind: .topic, name: topic.rawValue)
    }
    /// They are written to this file.
    public static func file(_ path: String) -> ReplayTarget { ReplayTarget(kind: .file, name: path) }

    /// The group that sees them, when that is the target.
    public var group: GroupName? { kind == .group ? GroupName(unchecked: name) : nil }
    var topic: TopicName? { kind == .topic ? TopicName(unchecked: name) : nil }
    var file: String? { kind == .file ? name : nil }
}

/// How fast a replay goes. As fast as possible, unless something slows it down.
public struct ReplayPace: Sendable, Hashable, Codable {
    /// The most events a second.
    public var rate: Double?
    /// How many times the original pace; the original time is that of the entry's id. All partitions go on together then.
    public var speed: Double?
    /// The longest pause between two events, in seconds, at the original pace.
    public var longestGap: Double?

    /// As fast as possible.
    public init() {}
}

/// When a replay waits or ends by itself.
public struct ReplayLimits: Sendable, Hashable, Codable {
    /// It waits while so many of its events have not been taken by the group; nil never waits. Bounds the server's memory.
    public var waiting: Int? = 20_000
    /// It stops when this part of what the group has settled since it began has failed (0.1 is a tenth, and the default), beginning
    /// with a hundred; nil never stops.
    public var errorRate: Double? = 0.1
    /// It is not planned when it would be more events than these; nil for any number.
    public var events: Int?

    /// The defaults.
    public init() {}
}

/// What an operator asks for. `Broker.plan` makes a plan of it.
public struct ReplayRequest: Sendable {
    /// Where the events come from.
    public var source = ReplaySource.history()
    /// Whose events they are.
    public var topic: TopicName
    /// The first place.
    public var from = ReplayPoint.start
    /// The last place; it belongs to the range.
    public var to = ReplayPoint.end
    /// Only so many of the first events that are meant.
    public var first: Int?
    /// Only so many of the last events that are meant.
    public var last: Int?
    /// Which of the range.
    public var filter = ReplayFilter()
    /// Where they go.
    public var target: ReplayTarget
    /// How fast.
    public var pace = ReplayPace()
    /// When to wait or end.
    public var limits = ReplayLimits()

    /// All of a topic's history.
    public init(topic: TopicName, to target: ReplayTarget) {
        self.topic = topic
        self.target = target
    }
}

/// Exactly what a replay does, kept in Redis until it is started: the range ends with what there was when it was planned.
public struct ReplayPlan: Sendable, Codable {
    /// The part of one partition that is read.
    public struct Part: Sendable, Codable {
        /// The partition, from 0.
        public let partition: Int
        /// The first place.
        public internal(set) var from: StreamID
        /// The last place.
        public internal(set) var to: StreamID

        var range: ClosedRange<StreamID>? { from <= to ? from...to : nil }
    }
    /// Names the replay; handlers see it as `delivery.replay`.
    public let id: String
    /// When it was planned, by the server's clock.
    public let planned: String
    /// Where the events come from.
    public let source: ReplaySource
    /// Whose events they are.
    public let topic: TopicName
    /// The first place of all.
    public let from: StreamID
    /// The last place of all.
    public let to: StreamID
    /// What is read, by partition.
    public internal(set) var parts: [Part]
    /// Which of it.
    public let filter: ReplayFilter
    /// Where it goes.
    public let target: ReplayTarget
    /// How fast.
    public let pace: ReplayPace
    /// When to wait or end.
    public let limits: ReplayLimits
    /// Where the log begins that has less than the range asks for; nil when it has all of it.
    public internal(set) var logBegins: StreamID?
    /// What it holds.
    public internal(set) var selected: ReplaySurvey
    /// About how many seconds it takes until all are on their way.
    public internal(set) var estimatedSeconds: Double
}
