package import Hiredis

/// Where a stream and a group in it stand, by numbers that only grow: two looks make a rate of them.
package struct StreamMarks: Sendable {
    /// How many entries were ever added; nil before Redis 7.
    package let added: Int?
    /// The last entry that the group was given; its declared start when it does not exist.
    package let delivered: StreamID
    /// How many entries the group was given since the beginning; nil when the server does not know.
    package let read: Int?
    /// How many it was not given yet, by the server's own count, which is too high after some trims; nil when it does not know.
    package let lag: Int?
    /// The oldest entry that is still there.
    package let first: StreamID?
    /// Whether the group exists on the stream.
    package let groupExists: Bool

    /// Whether the server itself knows how many it was not given yet.
    package var isLagKnown: Bool { lag != nil }

    init?(_ reply: RedisReply) {
        guard let parts = reply.array.map(Array.init), parts.count == 6, let added = parts[0].integer,
            let delivered = parts[1].streamID, let read = parts[2].integer, let lag = parts[3].integer,
            let exists = parts[5].integer
        else { return nil }
        self.added = added < 0 ? nil : added
        self.delivered = delivered
        self.read = read < 0 ? nil : read
        self.lag = lag < 0 ? nil : lag
        first = parts[4].streamID
        groupExists = exists == 1
    }
}
