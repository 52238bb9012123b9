public import Freshet
public import Hiredis

/// Publishes a range of an archived topic anew: under new stream ids, and under the events' own ids, by which inboxes tell
/// what they have.
public struct Republication: Sendable {
    /// The first place.
    public let from: StreamID
    /// The last place.
    public let to: StreamID
    /// Where the events go.
    public let target: Topic
    private let source: TopicName
    private let archive: Archive
    private let broker: Broker
    private let count: Int

    /// A republication of what lies within the range, to a topic that is there. Throws `notFound` for topics that are not.
    public init(
        of source: TopicName, from archive: Archive, to target: TopicName,
        in range: (from: ReplayPoint, to: ReplayPoint),
        on broker: Broker
    ) async throws {
        self.source = source
        self.archive = archive
        self.broker = broker
        count = try archive.topic(broker.namespace, source).partitions.count
        self.target = try await broker.existingTopic(target)
        let now = try await broker.serverTime()
        from = range.from.lowerBound(now: now)
        to = range.to.upperBound(now: now)
    }

    /// How many events lie within the range. Every segment of it is looked at.
    public func survey(onProgress: (Int) -> Void = { _ in }) async throws -> Int {
        var total = 0
        for partition in 0..<count {
            try await pages(partition) { page in
                total += page.count
                onProgress(total)
                return true
            }
        }
        return total
    }

    /// Publishes; returns how many, and how many of them were published once more because the server had lost
    /// them meanwhile. Fields go along byte for byte, but for the names that delivery itself adds.
    ///
    /// An event goes to the partition of its key; with as many partitions as the archive has, to the one that it had. Run again
    /// after a failure it publishes what it had published once more, under the same event ids.
    ///
    /// - Parameter onProgress: called with the count after each page; false ends the run there.
    public func run(onProgress: (Int) -> Bool = { _ in true }) async throws -> (events: Int, lost: Int) {
        var checkpoints = try await Checkpoints(EventID.make(), to: target, nil, on: broker)
        var failure = PassingFailure(at: 0)
        var lost = 0
        while true {
            if let total = try await attempt(&checkpoints, &failure, &lost, onProgress) {
                try await checkpoints.remove()
                return (total, lost)
            }
        }
    }

    /// Nil when the server was away, or has lost some of it: what it has is known then.
    private func attempt(
        _ checkpoints: inout Checkpoints, _ failure: inout PassingFailure, _ lost: inout Int,
        _ onProgress: (Int) -> Bool
    ) async throws -> Int? {
        do {
            let total = try await publish(&checkpoints, onProgress)
            try await checkpoints.compare()
            return total
        } catch {
            try await failure.wait(error, at: checkpoints.count)
            lost += try await checkpoints.reload(&failure)
            return nil
        }
    }

    /// All that is not there; returns how many were looked at.
    private func publish(_ checkpoints: inout Checkpoints, _ onProgress: (Int) -> Bool) async throws -> Int {
        var total = 0
        for partition in 0..<count where from <= to {
            var pages = ArchivePages(archive, broker.namespace, source, partition)
            var position = from.predecessor ?? .zero
            while let page = try pages.next(after: position, through: to) {
                position = page.last?.id ?? position
                try await put(page, of: partition, &checkpoints)
                total += page.count
                guard onProgress(total) else { return total }
            }
        }
        return total
    }

    private func put(_ page: [StreamEntry], of partition: Int, _ checkpoints: inout Checkpoints) async throws
    {
        var byTarget: [Int: [StreamEntry]] = [:]
        for entry in page where entry.hasContent {
            byTarget[place(of: entry, partition), default: []].append(entry)
        }
        for target in byTarget.keys.sorted() {
            _ = try await checkpoints.put((byTarget[target] ?? [])[...], of: partition, in: target)
        }
    }

    private func pages(_ partition: Int, _ body: ([StreamEntry]) async throws -> Bool) async throws {
        guard from <= to else { return }
        var pages = ArchivePages(archive, broker.namespace, source, partition)
        var position = from.predecessor ?? .zero
        while let page = try pages.next(after: position, through: to) {
            position = page.last?.id ?? position
            guard try await body(page) else { return }
        }
    }

    private func place(of entry: StreamEntry, _ partition: Int) -> Int {
        if target.partitions == count { return partition }
        guard let key = entry.field("partitionkey")?.validString else { return partition % target.partitions }
        return target.partition(ofKey: key)
    }
}
