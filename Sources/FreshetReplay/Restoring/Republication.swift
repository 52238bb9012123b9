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

    /// Publishes; returns how many. Fields go along byte for byte, but for the names that delivery itself adds.
    ///
    /// An event goes to the partition of its key; with as many partitions as the archive has, to the one that it had. Run again
    /// after a failure it publishes what it had published once more, under the same event ids.
    ///
    /// - Parameter onProgress: called with the count after each page; false ends the run there.
    public func run(onProgress: (Int) -> Bool = { _ in true }) async throws -> Int {
        var total = 0
        for partition in 0..<count {
            var goesOn = true
            try await pages(partition) { page in
                try await publish(page, partition)
                total += page.count
                goesOn = onProgress(total)
                return goesOn
            }
            guard goesOn else { break }
        }
        return total
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

    private func publish(_ page: [StreamEntry], _ partition: Int) async throws {
        var pipeline = RedisPipeline()
        for entry in page {
            var kept: [RedisBytes] = []
            var fields = entry.fields.makeIterator()
            while let name = fields.next()?.bytes, let value = fields.next()?.bytes {
                if !name.string.hasPrefix("freshet") { kept += [name, value] }
            }
            guard !kept.isEmpty else { continue }
            pipeline.appendXADD(
                broker.keys(target.name, place(of: entry, partition)).events, argumentCount: kept.count
            ) { command in
                for bytes in kept { command.append(bytes) }
            }
        }
        guard pipeline.count > 0 else { return }
        for reply in try await broker.client.send(pipeline) { try reply.get() }
    }

    private func place(of entry: StreamEntry, _ partition: Int) -> Int {
        if target.partitions == count { return partition }
        guard let key = entry.field("partitionkey")?.validString else { return partition % target.partitions }
        return target.partition(ofKey: key)
    }
}
