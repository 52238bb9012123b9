internal import Freshet
internal import Hiredis

/// Reads what an archive has of a partition. The manifest is read again for each segment: an archiver may be at work.
struct ArchivePages {
    private let archive: Archive
    private let namespace: Namespace
    private let topic: TopicName
    private let partition: Int
    private var reader: SegmentReader?

    init(_ archive: Archive, _ namespace: Namespace, _ topic: TopicName, _ partition: Int) {
        self.archive = archive
        self.namespace = namespace
        self.topic = topic
        self.partition = partition
    }

    /// The next entries behind a position, and none behind another; nil when there are no more. A segment is looked at as a
    /// whole before its first entry is given out.
    mutating func next(after position: StreamID, through end: StreamID) throws(ArchiveError) -> [StreamEntry]?
    {
        while true {
            if reader == nil { reader = try open(after: position, through: end) }
            guard reader != nil else { return nil }
            while let page = try reader?.nextPage() {
                guard let last = page.last, last.id > position else { continue }
                let own = page.filter { $0.id > position && $0.id <= end }
                if own.count < page.count, last.id > end { reader = nil }
                if own.isEmpty { return nil }
                return own
            }
            reader = nil
        }
    }

    /// The newest entry, and how many were ever added up to it.
    func end() throws(ArchiveError) -> (last: StreamID, added: Int) {
        let last = try archive.partition(namespace, topic, partition)?.segments.last
        return (last?.last ?? .zero, last?.added ?? 0)
    }

    private func open(after position: StreamID, through end: StreamID) throws(ArchiveError) -> SegmentReader?
    {
        var failure: (segment: ArchiveSegment, error: ArchiveError)?
        while true {
            let segments = try archive.partition(namespace, topic, partition)?.segments ?? []
            guard let segment = segments.first(where: { $0.last > position }), segment.first <= end else {
                return nil
            }
            // Missing because it was joined with another one a moment ago: then the manifest says so by now.
            if let failure, failure.segment == segment { throw failure.error }
            do throws(ArchiveError) {
                return try SegmentReader(
                    segment.contents, in: archive.path(namespace, topic, partition))
            } catch { failure = (segment, error) }
        }
    }
}
