public import Hiredis

/// An entry of one of a topic's streams, as it stands there.
public struct StreamEntry: Sendable {
    /// Where it stands in its stream.
    public let id: StreamID
    /// Names and values in turn.
    public let fields: RedisReplies

    /// The entries of a reply to XRANGE or XREVRANGE.
    static func list(_ reply: RedisReply) -> [StreamEntry] {
        (reply.array.map(Array.init) ?? []).compactMap { reply in
            guard let pair = reply.array, pair.count == 2, let id = pair[0].string.flatMap({ StreamID($0) }),
                let fields = pair[1].array
            else { return nil }
            return StreamEntry(id: id, fields: fields)
        }
    }

    /// The value of a field, or nil when there is none of this name.
    public func field(_ name: String) -> RedisBytes? {
        var iterator = fields.makeIterator()
        while let key = iterator.next()?.bytes, let value = iterator.next()?.bytes {
            if key.string == name { return value }
        }
        return nil
    }

    /// Where it stood in the log, for an entry of a dead-letter, invalid or redelivery stream.
    public var originalID: StreamID? { field(Field.originalID).flatMap { StreamID($0.string) } }

    /// The event, or an error that says why it is none.
    public func event() throws(FreshetError) -> Event {
        try DecodedFields(fields, entry: id, trusted: true).event
    }
}

/// The entries of a stream in order, read page by page: memory stays the same however long it is.
public struct StreamEntries: AsyncSequence, Sendable {
    let broker: Broker
    let keys: [String]
    let range: ClosedRange<StreamID>
    let pageSize: Int

    /// Reads from the first entry of the range.
    public func makeAsyncIterator() -> Iterator { Iterator(entries: self) }

    /// Reads on, a page at a time.
    public struct Iterator: AsyncIteratorProtocol {
        private let entries: StreamEntries
        private var keys: ArraySlice<String>
        private var page: [StreamEntry] = []
        private var position = 0
        private var start: String

        init(entries: StreamEntries) {
            self.entries = entries
            keys = entries.keys[...]
            start = entries.range.lowerBound.description
        }

        /// The next entry, or nil at the end of the range.
        public mutating func next() async throws(FreshetError) -> StreamEntry? {
            while position == page.count {
                guard let key = keys.first else { return nil }
                let reply = try await entries.broker.send(
                    RedisCommand(
                        "XRANGE", key, start, entries.range.upperBound.description, "COUNT", entries.pageSize)
                )
                page = StreamEntry.list(reply)
                position = 0
                if let last = page.last {
                    start = "(\(last.id)"
                } else {
                    keys.removeFirst()
                    start = entries.range.lowerBound.description
                }
            }
            defer { position += 1 }
            return page[position]
        }
    }
}

extension Broker {
    /// All entries of a stream within the range, oldest first. What is added meanwhile is seen when it is in the range.
    public func entries(
        of key: String, in range: ClosedRange<StreamID> = .zero ... .newest, pageSize: Int = 256
    ) -> StreamEntries {
        StreamEntries(broker: self, keys: [key], range: range, pageSize: pageSize)
    }

    /// All entries of a topic's log within the range, partition after partition, each oldest first.
    public func history(
        of topic: Topic, in range: ClosedRange<StreamID> = .zero ... .newest, pageSize: Int = 256
    ) -> StreamEntries {
        let keys = (0..<topic.partitions).map { self.keys(topic.name, $0).events }
        return StreamEntries(broker: self, keys: keys, range: range, pageSize: pageSize)
    }
}

extension StreamID {
    /// Behind every entry.
    public static let newest = StreamID(milliseconds: .max, sequence: .max)
}

extension Broker {
    /// The newest entries of a partition's log, oldest of them first.
    public func newestEntries(of topic: TopicName, partition: Int, count: Int) async throws(FreshetError)
        -> [StreamEntry]
    {
        guard count > 0 else { return [] }
        let reply = try await send(
            RedisCommand("XREVRANGE", keys(topic, partition).events, "+", "-", "COUNT", count))
        return StreamEntry.list(reply).reversed()
    }

    /// Where the newest entry of a partition's log stands.
    public func newest(of topic: TopicName, _ partition: Int) async throws(FreshetError) -> StreamID {
        try await newestEntries(of: topic, partition: partition, count: 1).first?.id ?? .zero
    }
}
