internal import Hiredis

/// A stream and its groups.
final class MemoryStream {
    struct Entry {
        let id: StreamID
        /// Names and values.
        let fields: [Bytes]

        var reply: MemoryReply { .array([.text(id.description), .array(fields.map(MemoryReply.bulk))]) }
    }

    struct Pending {
        var consumer: String
        /// Milliseconds of the server's clock.
        var deliveredAt: Int
        var deliveries: Int
    }

    struct Consumer {
        var seenAt: Int
        var activeAt: Int?
    }

    final class Group {
        var lastDelivered: StreamID
        var entriesRead: Int?
        private(set) var pending: [StreamID: Pending] = [:]
        /// The ids of what is pending, in order.
        private(set) var order: [StreamID] = []
        var consumers: [String: Consumer] = [:]

        init(after id: StreamID, entriesRead: Int?) {
            lastDelivered = id
            self.entriesRead = entriesRead
        }

        subscript(id: StreamID) -> Pending? {
            get { pending[id] }
            set {
                if newValue == nil, pending[id] != nil {
                    order.remove(at: order.firstIndex(atLeast: id))
                } else if newValue != nil, pending[id] == nil {
                    order.insert(id, at: order.firstIndex(atLeast: id))
                }
                pending[id] = newValue
            }
        }

        func held(by consumer: String) -> Int {
            pending.values.reduce(0) { $0 + ($1.consumer == consumer ? 1 : 0) }
        }
    }

    private(set) var entries: [Entry] = []
    var lastID = StreamID.zero
    var maxDeleted = StreamID.zero
    var added = 0
    var groups: [String: Group] = [:]

    // MARK: - Entries

    func append(_ fields: [Bytes], as id: StreamID) {
        entries.append(Entry(id: id, fields: fields))
        lastID = id
        added += 1
    }

    subscript(id: StreamID) -> Entry? {
        let index = firstIndex(atLeast: id)
        return index < entries.count && entries[index].id == id ? entries[index] : nil
    }

    func entries(from first: StreamID, through last: StreamID, count: Int = .max) -> ArraySlice<Entry> {
        let start = firstIndex(atLeast: first)
        var end = start
        while end < entries.count, end - start < count, entries[end].id <= last { end += 1 }
        return entries[start..<end]
    }

    func delete(_ id: StreamID) -> Bool {
        let index = firstIndex(atLeast: id)
        guard index < entries.count, entries[index].id == id else { return false }
        entries.remove(at: index)
        maxDeleted = max(maxDeleted, id)
        return true
    }

    func removeFirst(_ count: Int) { entries.removeFirst(count) }

    private func firstIndex(atLeast id: StreamID) -> Int {
        var (low, high) = (0, entries.count)
        while low < high {
            let middle = (low + high) / 2
            if entries[middle].id < id { low = middle + 1 } else { high = middle }
        }
        return low
    }

    // MARK: - Groups

    /// Gives new entries to a consumer of a group, which holds them from then on.
    func deliver(to consumer: String, of name: String, count: Int, isHeld: Bool, now: Int) -> [Entry] {
        guard let group = groups[name] else { return [] }
        group.consumers[consumer, default: Consumer(seenAt: now)].seenAt = now
        let given =
            group.lastDelivered.successor.map { Array(entries(from: $0, through: .newest, count: count)) }
            ?? []
        for entry in given {
            if isHeld { group[entry.id] = Pending(consumer: consumer, deliveredAt: now, deliveries: 1) }
            group.lastDelivered = entry.id
        }
        group.entriesRead = group.entriesRead.map { $0 + given.count }
        if !given.isEmpty { group.consumers[consumer]?.activeAt = now }
        return given
    }
}

extension [StreamID] {
    func firstIndex(atLeast id: StreamID) -> Int {
        var (low, high) = (0, count)
        while low < high {
            let middle = (low + high) / 2
            if self[middle] < id { low = middle + 1 } else { high = middle }
        }
        return low
    }
}

extension MemoryStream {
    /// How many entries the group has not been given.
    func waiting(for group: Group) -> Int {
        group.lastDelivered.successor.map { entries(from: $0, through: .newest).count } ?? 0
    }
}
