/// What a stream says of itself (XINFO STREAM).
public struct StreamInfo: Sendable, Hashable {
    /// How many entries there are.
    public let length: Int
    /// The newest id that was given out, also when its entry is gone.
    public let lastGeneratedID: StreamID
    /// How many entries were ever added; nil before Redis 7.
    public let entriesAdded: Int?
    /// How many groups there are.
    public let groups: Int
    /// The oldest entry; nil when there is none.
    public let firstID: StreamID?
    /// The newest entry; nil when there is none.
    public let lastID: StreamID?
    /// The newest entry that was deleted; nil before Redis 7.
    public let newestDeletedID: StreamID?

    init?(_ reply: RedisReply) {
        guard let length = reply.value(named: "length")?.integer,
            let groups = reply.value(named: "groups")?.integer,
            let lastGeneratedID = reply.value(named: "last-generated-id")?.streamID
        else { return nil }
        (self.length, self.groups, self.lastGeneratedID) = (length, groups, lastGeneratedID)
        entriesAdded = reply.value(named: "entries-added")?.integer
        firstID = reply.value(named: "first-entry").flatMap { StreamEntry($0)?.id }
        lastID = reply.value(named: "last-entry").flatMap { StreamEntry($0)?.id }
        newestDeletedID = reply.value(named: "max-deleted-entry-id")?.streamID
    }
}

/// A group of a stream (XINFO GROUPS).
public struct GroupInfo: Sendable, Hashable {
    /// Its name.
    public let name: String
    /// How many consumers it has: those that were ever seen and not removed.
    public let consumers: Int
    /// How many entries it holds: given to a consumer and not acknowledged.
    public let pending: Int
    /// The last entry that it was given.
    public let lastDeliveredID: StreamID
    /// How many entries it was given since the beginning; nil when the server does not know.
    public let entriesRead: Int?
    /// How many entries it was not given yet, by the server's count; nil when it does not know: after a start in the middle or
    /// a deletion. After a trim some servers count too many.
    public let lag: Int?

    init?(_ reply: RedisReply) {
        guard let name = reply.value(named: "name")?.string,
            let pending = reply.value(named: "pending")?.integer,
            let consumers = reply.value(named: "consumers")?.integer,
            let lastDeliveredID = reply.value(named: "last-delivered-id")?.streamID
        else { return nil }
        (self.name, self.consumers, self.pending) = (name, consumers, pending)
        self.lastDeliveredID = lastDeliveredID
        entriesRead = reply.value(named: "entries-read")?.integer
        lag = reply.value(named: "lag")?.integer
    }
}

/// A consumer of a group (XINFO CONSUMERS).
public struct ConsumerInfo: Sendable, Hashable {
    /// Its name.
    public let name: String
    /// How many entries it holds.
    public let pending: Int
    /// Since it last tried to read or claim; on Redis 7.0 since it last got something.
    public let idle: Duration

    init?(_ reply: RedisReply) {
        guard let name = reply.value(named: "name")?.string,
            let pending = reply.value(named: "pending")?.integer,
            let idle = reply.value(named: "idle")?.integer
        else { return nil }
        (self.name, self.pending, self.idle) = (name, pending, .milliseconds(idle))
    }
}

/// How much a group holds (XPENDING).
public struct PendingSummary: Sendable {
    /// How many entries were given to a consumer and not acknowledged.
    public let count: Int
    /// The oldest of them; nil when there is none.
    public let first: StreamID?
    /// The newest of them; nil when there is none.
    public let last: StreamID?
    /// How many each consumer holds; those that hold none are left out.
    public let consumers: [String: Int]

    init?(_ reply: RedisReply) {
        guard let parts = reply.array.map(Array.init), parts.count == 4, let count = parts[0].integer else {
            return nil
        }
        self.count = count
        (first, last) = (parts[1].streamID, parts[2].streamID)
        var consumers: [String: Int] = [:]
        for pair in parts[3].array.map(Array.init) ?? [] {
            guard let pair = pair.array, pair.count == 2, let name = pair[0].string else { return nil }
            consumers[name] = pair[1].integer
        }
        self.consumers = consumers
    }
}

/// An entry that a group holds (XPENDING with a range).
public struct PendingEntry: Sendable, Hashable {
    /// Where it stands in its stream; the entry itself may be gone.
    public let id: StreamID
    /// Who holds it.
    public let consumer: String
    /// Since it was last delivered or claimed.
    public let idle: Duration
    /// How often it was delivered: by reads, by claims, and by each look at what one holds oneself.
    public let deliveries: Int

    init?(_ reply: RedisReply) {
        guard let parts = reply.array.map(Array.init), parts.count == 4, let id = parts[0].streamID,
            let consumer = parts[1].string, let idle = parts[2].integer, let deliveries = parts[3].integer
        else { return nil }
        (self.id, self.consumer, self.idle, self.deliveries) = (id, consumer, .milliseconds(idle), deliveries)
    }
}

/// What XAUTOCLAIM took over.
public struct ClaimedEntries: Sendable {
    /// Where the next call goes on; nil when all was looked at.
    public let next: StreamID?
    /// The entries that are now held.
    public let entries: [StreamEntry]
    /// What the group held and somebody had deleted or trimmed. The group holds it no more, and nobody is told again.
    public let deleted: [StreamID]

    init?(_ reply: RedisReply) {
        guard let parts = reply.array.map(Array.init), parts.count >= 2, let next = parts[0].streamID,
            let entries = StreamEntry.list(parts[1])
        else { return nil }
        self.next = next == .zero ? nil : next
        self.entries = entries
        deleted = parts.count > 2 ? parts[2].list { $0.streamID } ?? [] : []
    }
}
