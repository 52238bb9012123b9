package import Hiredis

/// How many entries stand behind a position, as far as they were counted.
package struct EntryCount: Sendable {
    package var count: Int
    /// The first of them.
    package var first: StreamID?
    /// The last that was counted: where counting goes on.
    var last: StreamID
    /// Whether all were counted.
    package var isWhole: Bool

    static func nothing(after position: StreamID) -> EntryCount {
        EntryCount(count: 0, first: nil, last: position, isWhole: false)
    }

    init(count: Int, first: StreamID?, last: StreamID, isWhole: Bool) {
        (self.count, self.first, self.last, self.isWhole) = (count, first, last, isWhole)
    }

    init?(_ reply: RedisReply) {
        guard let parts = reply.array.map(Array.init), parts.count == 4, let count = parts[0].integer,
            let last = parts[2].streamID, let isWhole = parts[3].integer
        else { return nil }
        self.init(
            count: count, first: parts[1].streamID, last: last, isWhole: isWhole == 1)
    }
}

extension Broker {
    /// How many entries of a stream stand behind one position and not behind the other.
    package func count(_ stream: String, after position: StreamID, through last: StreamID)
        async throws(FreshetError) -> Int
    {
        guard position < last else { return 0 }
        var entries = EntryCount.nothing(after: position)
        try await count(&entries, in: stream, through: last, upTo: .max)
        return entries.count
    }

    /// Goes on counting until the end, or until so many are counted.
    func count(
        _ entries: inout EntryCount, in stream: String, through last: StreamID = .newest, upTo most: Int
    ) async throws(FreshetError) {
        while !entries.isWhole, entries.count < most {
            let reply = try await run(
                InspectionScripts.count, keys: [stream], entries.last, last)
            guard let page = EntryCount(reply) else {
                throw FreshetError(RedisError(.unexpectedReply, "a count of another shape"))
            }
            entries.count += page.count
            entries.first = entries.first ?? page.first
            (entries.last, entries.isWhole) = (page.last, page.isWhole)
        }
    }
}
