public import Hiredis

/// The entries of a stream in order, or of several streams one after the other, read page by page: memory stays the
/// same however long they are.
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
        private var lastRead: StreamID?
        private var size: Int

        init(entries: StreamEntries) {
            self.entries = entries
            keys = entries.keys[...]
            size = Swift.min(16, entries.pageSize)
        }

        /// The next entry, or nil at the end of the range.
        public mutating func next() async throws(FreshetError) -> StreamEntry? {
            if position == page.count {
                page = try await nextPage() ?? []
                position = 0
                if page.isEmpty { return nil }
            }
            defer { position += 1 }
            return page[position]
        }

        /// The next page, never empty, of one stream; nil at the end of the range. Not to be mixed with `next`.
        public mutating func nextPage() async throws(FreshetError) -> [StreamEntry]? {
            while let key = keys.first {
                let range = entries.range
                let start = lastRead.map(\.successor) ?? range.lowerBound
                if let start, start <= range.upperBound {
                    let page = try await entries.broker.send(
                        .xrange(key, start...range.upperBound, count: size))
                    if let last = page.last {
                        lastRead = last.id
                        adapt(to: page)
                        return page
                    }
                }
                keys.removeFirst()
                lastRead = nil
            }
            return nil
        }

        /// Grows slowly and shrinks at once, so that pages of large entries hold few of them.
        private mutating func adapt(to page: [StreamEntry]) {
            let average = page.reduce(0) { $0 + $1.byteCount } / page.count
            let fitting = StreamEntries.pageBytes / Swift.max(1, average)
            size = Swift.max(1, Swift.min(fitting, size * 2, entries.pageSize))
        }
    }

    /// What a page holds about.
    private static let pageBytes = 4 * 1024 * 1024
}

extension Broker {
    /// All entries of a stream within the range, oldest first. What is added meanwhile is seen when it is in the range.
    ///
    /// - Parameter pageSize: the most entries that are read at a time; fewer when they are large.
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

    /// The newest entries of a partition's log, oldest of them first.
    public func newestEntries(of topic: TopicName, partition: Int, count: Int) async throws(FreshetError)
        -> [StreamEntry]
    {
        guard count > 0 else { return [] }
        return try await send(.xrevrange(keys(topic, partition).events, count: count)).reversed()
    }

    /// The entries that were added to a topic's log behind these positions (by partition), at most so many of each
    /// partition; none when none came within the time.
    ///
    /// - Parameters:
    ///   - positions: one for each partition, moved behind what is returned.
    ///   - reader: a connection of one's own: it waits at the server.
    public func newEntries(
        of topic: Topic, after positions: inout [StreamID], count: Int = 256, waiting limit: Duration,
        on reader: RedisClient
    ) async throws(FreshetError) -> [(partition: Int, entry: StreamEntry)] {
        let logs = (0..<topic.partitions).map { keys(topic.name, $0).events }
        let read: [(key: String, entries: [StreamEntry])]
        do {
            read = try await reader.send(.xread(Array(zip(logs, positions)), count: count, block: limit))
        } catch { throw FreshetError(error) }
        var found: [(partition: Int, entry: StreamEntry)] = []
        for (key, entries) in read {
            guard let partition = logs.firstIndex(of: key) else { continue }
            for entry in entries {
                positions[partition] = Swift.max(positions[partition], entry.id)
                found.append((partition, entry))
            }
        }
        return found
    }
}
