package import Freshet
package import Hiredis

/// Several partitions' entries as one history, in the order of their ids: that in which a server was given them.
package actor MergedHistory {
    /// A partition of a topic.
    package struct Place: Hashable, Sendable {
        package let topic: Topic
        package let partition: Int

        package init(topic: Topic, partition: Int) { (self.topic, self.partition) = (topic, partition) }
    }

    /// An entry, and where it stands.
    package struct Entry: Sendable {
        package let place: Place
        package let entry: StreamEntry
    }

    private struct Source {
        let place: Place
        var pages: HistoryPages
        var page: [StreamEntry] = []
        var index = 0

        var next: StreamID? { index < page.count ? page[index].id : nil }
    }
    private var sources: [Source] = []

    /// A history of nothing.
    package init() {}

    /// Takes in a partition's entries within the range, from here on.
    package func add(_ history: History, partition: Int, in range: ClosedRange<StreamID>) {
        sources.append(
            Source(
                place: Place(topic: history.topic, partition: partition),
                pages: history.pages(ofPartition: partition, in: range)))
    }

    /// The next entries, at most so many; none at the end.
    package func next(upTo count: Int) async throws -> [Entry] {
        var entries: [Entry] = []
        entries.reserveCapacity(count)
        while entries.count < count {
            try await fill()
            guard
                let first = sources.indices.min(by: { left, right in
                    (sources[left].next ?? .newest) < (sources[right].next ?? .newest)
                }), sources[first].next != nil
            else { break }
            entries.append(
                Entry(place: sources[first].place, entry: sources[first].page[sources[first].index]))
            sources[first].index += 1
        }
        return entries
    }

    /// Reads on where a page has come to its end; partitions without more are left out from here on.
    private func fill() async throws {
        for index in sources.indices.reversed() where sources[index].next == nil {
            var pages = sources[index].pages
            if let page = try await pages.next() {
                (sources[index].pages, sources[index].page, sources[index].index) = (pages, page, 0)
            } else {
                sources.remove(at: index)
            }
        }
    }
}
