public import Freshet
public import Hiredis

/// A topic's entries, each partition in the order of its ids.
public struct History: Sendable {
    /// The topic.
    public let topic: Topic
    private let broker: Broker

    /// What the topic's log holds.
    public init(of topic: Topic, on broker: Broker) {
        self.topic = topic
        self.broker = broker
    }

    /// The entries of one partition within the range, oldest first.
    public func pages(ofPartition partition: Int, in range: ClosedRange<StreamID> = .zero ... .newest)
        -> HistoryPages
    {
        HistoryPages(
            live: broker.entries(of: broker.keys(topic.name, partition).events, in: range).makeAsyncIterator()
        )
    }
}

/// One partition's entries, a page at a time: memory stays the same however many there are.
public struct HistoryPages {
    private var live: StreamEntries.Iterator

    init(live: StreamEntries.Iterator) { self.live = live }

    /// The next page, never empty; nil at the end of the range.
    public mutating func next() async throws -> [StreamEntry]? { try await live.nextPage() }
}
