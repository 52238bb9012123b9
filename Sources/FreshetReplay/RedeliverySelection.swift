public import Freshet
public import Hiredis

/// What is redelivered to whom.
public struct RedeliverySelection: Sendable {
    /// The topic.
    public var topic: TopicName
    /// The group that sees it again.
    public var group: GroupName
    /// The first place.
    public var from: ReplayPoint
    /// The last place; it belongs to the selection.
    public var to: ReplayPoint
    /// Only events of these types; none for all types.
    public var types: Set<EventType>
    /// Only events with these partition keys; none for all.
    public var keys: Set<String>

    /// Events of this range.
    public init(
        topic: TopicName, group: GroupName, from: ReplayPoint, to: ReplayPoint, types: Set<EventType> = [],
        keys: Set<String> = []
    ) {
        self.topic = topic
        self.group = group
        self.from = from
        self.to = to
        self.types = types
        self.keys = keys
    }

    func matches(_ entry: StreamEntry) -> Bool {
        if !types.isEmpty {
            guard let type = entry.field("type")?.validString, types.contains(EventType(unchecked: type))
            else {
                return false
            }
        }
        if !keys.isEmpty {
            guard let key = entry.field("partitionkey")?.validString, keys.contains(key) else { return false }
        }
        return true
    }
}

/// What a selection holds.
public struct RedeliverySurvey: Sendable, Codable {
    /// How many entries are selected.
    public private(set) var count = 0
    /// How many of each type; entries without one count under "".
    public private(set) var types: [String: Int] = [:]
    /// How many of them the group has not read yet, so that it will see them twice.
    public private(set) var ahead = 0
    /// The first of them, of all partitions; nil when there is none.
    public private(set) var first: StreamID?
    /// The last of them, of all partitions; nil when there is none.
    public private(set) var last: StreamID?

    mutating func add(_ entry: StreamEntry, isAhead: Bool) {
        count += 1
        if isAhead { ahead += 1 }
        types[entry.field("type")?.string ?? "", default: 0] += 1
        first = min(first ?? entry.id, entry.id)
        last = max(last ?? entry.id, entry.id)
    }
}
