public import Freshet
public import Hiredis

/// A topic's entries, each partition in the order of its ids: what an archive has, and behind it what the log has.
public struct History: Sendable {
    /// The topic.
    public let topic: Topic
    private let broker: Broker
    private let archive: Archive?

    /// A page is so many entries at most.
    static let pageSize = 1000

    /// What the topic's log holds, and before it what an archive has of it.
    ///
    /// - Parameter archive: where what retention has cut off is to be found; nil for the log alone.
    public init(of topic: Topic, on broker: Broker, archive: Archive? = nil) {
        self.topic = topic
        self.broker = broker
        self.archive = archive
    }

    /// The entries of one partition within the range, oldest first.
    public func pages(ofPartition partition: Int, in range: ClosedRange<StreamID> = .zero ... .newest)
        -> HistoryPages
    {
        let key = broker.keys(topic.name, partition).events
        guard let archive else {
            return HistoryPages(
                live: broker.entries(of: key, in: range, pageSize: Self.pageSize).makeAsyncIterator())
        }
        return HistoryPages(
            ArchivePages(archive, broker.namespace, topic.name, partition),
            LogLook(key, on: broker, isQueue: topic.kind == .queue), in: range)
    }
}

/// One partition's entries, a page at a time: memory stays the same however many there are.
///
/// With an archive there is no gap and no repeat between it and the log, also when retention cuts the log off meanwhile.
public struct HistoryPages {
    private enum Source {
        case log(StreamEntries.Iterator)
        case both(ArchivePages, LogLook)
    }
    private var source: Source
    /// The last entry that was given out.
    private var position = StreamID.zero
    private let end: StreamID
    /// What the log has no more, while it is read from the archive.
    private var cut: LogLook.Cut?

    init(live: StreamEntries.Iterator) {
        source = .log(live)
        end = .newest
    }

    init(_ archived: ArchivePages, _ log: LogLook, in range: ClosedRange<StreamID>) {
        source = .both(archived, log)
        position = range.lowerBound.predecessor ?? .zero
        end = range.upperBound
    }

    /// The next page, never empty; nil at the end of the range.
    ///
    /// Throws an `ArchiveError`: `altered`, with the segment's name, for an archive that is not as it was written, before an
    /// entry of that segment is given out; `lost` when the log was cut off behind the archive's end. What the manifest
    /// itself counts as missing is passed over: nothing brings it back.
    public mutating func next() async throws -> [StreamEntry]? {
        switch source {
        case .log(var log):
            let page = try await log.nextPage()
            source = .log(log)
            return page
        case .both(var archived, var log):
            defer { source = .both(archived, log) }
            let page = try await next(&archived, &log)
            if let last = page?.last { position = last.id }
            return page
        }
    }

    private mutating func next(_ archived: inout ArchivePages, _ log: inout LogLook) async throws
        -> [StreamEntry]?
    {
        while position < end {
            if let cut {
                let before = min(cut.before, end)
                if let page = try archived.next(after: position, through: before) { return page }
                let (last, added) = try archived.end()
                if position < before, cut.hasLost(behind: last, archived: added) {
                    throw ArchiveError(
                        .lost,
                        "\(log.key) was cut off behind the archive's end (\(last)): entries between \(max(position, last)) and "
                            + "\(cut.before) are in neither")
                }
                position = before
                self.cut = nil
                continue
            }
            switch try await log.look(after: position, through: end) {
            case .page(let page): return page
            case .end: return nil
            case .cut(let cut): self.cut = cut
            }
        }
        return nil
    }
}
