public import Freshet
internal import Hiredis

/// Which entries of a range are meant; all of them, unless something narrows it. Everything that is said must hold.
public struct ReplayFilter: Sendable, Hashable, Codable {
    /// Only events of these types; none for all types.
    public var types: Set<EventType> = []
    /// Only events with these partition keys; none for all.
    public var keys: Set<String> = []
    /// Only these partitions; none for all.
    public var partitions: Set<Int> = []
    /// Only events that fulfil all of these.
    public var matches: [FieldMatch] = []
    /// Only events with these ids, or entries with these positions; nil for all.
    public var ids: Set<String>?

    /// All.
    public init() {}

    func includes(_ entry: StreamEntry) -> Bool {
        if !types.isEmpty {
            guard let type = entry.field("type")?.validString, types.contains(EventType(unchecked: type))
            else {
                return false
            }
        }
        if !keys.isEmpty {
            guard let key = entry.field("partitionkey")?.validString, keys.contains(key) else { return false }
        }
        if let ids {
            let isMeant =
                entry.field("id")?.validString.map(ids.contains) ?? false
                || ids.contains(entry.id.description)
            guard isMeant else { return false }
        }
        return matches.allSatisfy { $0.holds(for: entry) }
    }

    func selected(of entries: [StreamEntry]) -> ArraySlice<StreamEntry> {
        isAnything ? entries[...] : entries.filter(includes)[...]
    }

    var isAnything: Bool { types.isEmpty && keys.isEmpty && matches.isEmpty && ids == nil }
}
