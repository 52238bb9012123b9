public import Hiredis

/// What a selection holds.
public struct ReplaySurvey: Sendable, Codable {
    /// One event, for a person to recognise.
    public struct Sample: Sendable, Codable {
        /// The event's id; empty when it has none.
        public let eventID: String
        /// Its type; empty when it has none.
        public let type: String
        /// Its time as it says; empty when it does not.
        public let time: String

        init(_ entry: StreamEntry) {
            eventID = entry.field("id")?.string ?? ""
            type = entry.field("type")?.string ?? ""
            time = entry.field("time")?.string ?? ""
        }
    }
    /// How many entries are selected.
    public internal(set) var count = 0
    /// How many bytes of names and values they have.
    public private(set) var bytes = 0
    /// How many of each type; entries without one count under "".
    public private(set) var types: [String: Int] = [:]
    /// How many of each partition.
    public private(set) var partitions: [Int: Int] = [:]
    /// How many of them the target's group has not read yet, so that it will see them twice.
    public private(set) var ahead = 0
    /// How many of them the group's inbox has, where its database was looked at: these it skips.
    public internal(set) var skipped: Int?
    /// How many of each type the group's handlers will not see, because they are not for replays.
    public internal(set) var silenced: [String: Int] = [:]
    /// The first of them, of all partitions; nil when there is none.
    public private(set) var first: StreamID?
    /// The last of them, of all partitions; nil when there is none.
    public private(set) var last: StreamID?
    /// The first event.
    public private(set) var firstEvent: Sample?
    /// The last event.
    public private(set) var lastEvent: Sample?

    mutating func add(_ entry: StreamEntry, partition: Int, isAhead: Bool) {
        count += 1
        if isAhead { ahead += 1 }
        var type: Int?
        unsafe entry.fields.forEachField { name, value, index in
            bytes += name.count + value.count
            if unsafe name.elementsEqual("type".utf8) { type = index }
        }
        types[type.flatMap { entry.fields.bytes(at: $0) }?.string ?? "", default: 0] += 1
        partitions[partition, default: 0] += 1
        if first.map({ entry.id < $0 }) ?? true { (first, firstEvent) = (entry.id, Sample(entry)) }
        if last.map({ entry.id >= $0 }) ?? true { (last, lastEvent) = (entry.id, Sample(entry)) }
    }
}
