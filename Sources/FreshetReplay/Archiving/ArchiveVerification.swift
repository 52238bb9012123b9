public import Freshet
public import Hiredis

/// Looks whether an archive is whole: every file is read and every line looked into, and nothing is changed.
public struct ArchiveVerification: Sendable {
    /// What was found of one partition.
    public struct Report: Sendable, Codable {
        /// The namespace.
        public let namespace: Namespace
        /// The topic.
        public let topic: TopicName
        /// The partition, from 0; nil for what is the whole topic's.
        public let partition: Int?
        /// How many segments the manifest has.
        public fileprivate(set) var segments = 0
        /// How many entries are in them, as far as they could be read.
        public fileprivate(set) var events = 0
        /// How many entries were gone before they could be archived.
        public fileprivate(set) var missing = 0
        /// The oldest entry.
        public fileprivate(set) var first: StreamID?
        /// The newest entry.
        public fileprivate(set) var last: StreamID?
        /// How many of them were compared with the log, byte for byte.
        public fileprivate(set) var compared = 0
        /// What is wrong, each with the name of the file.
        public fileprivate(set) var problems: [String] = []
    }

    private let archive: Archive
    private let broker: Broker?

    /// A look at this archive.
    ///
    /// - Parameter broker: where to compare what both the archive and the live logs have; nil to look at the archive alone.
    public init(of archive: Archive, comparedWith broker: Broker? = nil) {
        self.archive = archive
        self.broker = broker
    }

    /// Looks at one topic: a report of each partition.
    ///
    /// - Parameter onProgress: called with how many entries were looked at.
    public func verify(_ namespace: Namespace, _ topic: TopicName, onProgress: (Int) -> Void = { _ in })
        async throws -> [Report]
    {
        var reports: [Report] = []
        var known: ArchivedTopic?
        var count = 0
        switch Result(catching: { () throws(ArchiveError) in try archive.topic(namespace, topic) }) {
        case .success(let topic): known = topic
        case .failure(let error) where error.code == .altered:
            var report = Report(namespace: namespace, topic: topic, partition: nil)
            report.problems.append(error.description)
            reports.append(report)
        case .failure(let error): throw error
        }
        let present = try archive.partitions(namespace, topic)
        for partition in Set(present).union(0..<(known?.partitions.count ?? 0)).sorted() {
            var report = Report(namespace: namespace, topic: topic, partition: partition)
            let state = known.flatMap { partition < $0.partitions.count ? $0.partitions[partition] : nil }
            do {
                try await verify(&report, partition, state) { onProgress(count + $0) }
            } catch let error as ArchiveError where error.code == .altered {
                report.problems.append(error.description)
            }
            count += report.events
            reports.append(report)
        }
        return reports
    }

    private func verify(
        _ report: inout Report, _ partition: Int, _ state: ArchivedTopic.Partition?,
        _ onProgress: (Int) -> Void
    ) async throws {
        let folder = archive.path(report.namespace, report.topic, partition)
        let manifest = try archive.partition(report.namespace, report.topic, partition)
        if let manifest {
            report.segments = manifest.segments.count
            (report.first, report.last) = (manifest.first, manifest.last)
        }
        report.missing = state?.missing(beside: manifest) ?? manifest?.missing ?? 0
        // The manifest may be ahead of it, when a pass did not end.
        if let state, state.archived > (manifest?.count ?? 0) || state.last ?? .zero > manifest?.last ?? .zero
        {
            report.problems.append(
                "\(folder)/\(ArchivePartition.fileName): ends at \(manifest?.last?.description ?? "nothing") with "
                    + "\(manifest?.count ?? 0) entries, and \(ArchivedTopic.fileName) knows of \(state.archived) up to "
                    + "\(state.last?.description ?? "nothing"): segments at the end were taken out")
        }
        for segment in manifest?.segments ?? [] {
            do {
                var reader = try SegmentReader(segment.contents, in: folder)
                while let page = try reader.nextPage() {
                    report.events += page.count
                    if let broker { try await compare(page, &report, partition, segment, folder, broker) }
                    onProgress(report.events)
                }
            } catch let error as ArchiveError where error.code == .altered {
                report.problems.append(error.description)
            }
        }
        for file in state?.files ?? [] {
            let outcome = Result { () throws(ArchiveError) in
                var reader = try SegmentReader(file, in: folder)
                while try reader.nextPage() != nil {}
            }
            if case .failure(let error) = outcome {
                guard error.code == .altered else { throw error }
                report.problems.append(error.description)
            }
        }
    }

    /// What the log still has of these must be the same; what it has between them must not be there.
    private func compare(
        _ page: [StreamEntry], _ report: inout Report, _ partition: Int, _ segment: ArchiveSegment,
        _ folder: String,
        _ broker: Broker
    ) async throws {
        guard let first = page.first?.id, let last = page.last?.id else { return }
        let key = PartitionKeys(namespace: report.namespace, topic: report.topic, partition: partition).events
        let live = try await broker.client.send(.xrange(key, first...last))
        var rest = page[...]
        for entry in live {
            while let own = rest.first, own.id < entry.id { rest = rest.dropFirst() }
            guard let own = rest.first, own.id == entry.id else {
                report.problems.append("\(folder)/\(segment.file): lacks \(entry.id), which the log has")
                return
            }
            guard own.hasSameFields(as: entry) else {
                report.problems.append("\(folder)/\(segment.file): \(entry.id) differs from the log's")
                return
            }
            report.compared += 1
        }
    }
}

extension StreamEntry {
    /// Byte for byte.
    func hasSameFields(as other: StreamEntry) -> Bool {
        guard fields.count == other.fields.count else { return false }
        return zip(fields, other.fields).allSatisfy { own, theirs in
            guard let own = own.bytes, let theirs = theirs.bytes, own.count == theirs.count else {
                return false
            }
            return unsafe own.withUnsafeBytes { first in
                unsafe theirs.withUnsafeBytes { second in unsafe first.elementsEqual(second) }
            }
        }
    }
}
