internal import Freshet
internal import Hiredis

/// Reads what a plan names as its source.
struct ReplayReader: Sendable {
    private let plan: ReplayPlan
    private let broker: Broker
    private let archive: Archive?
    private let history: History

    init(_ plan: ReplayPlan, on broker: Broker) async throws {
        self.plan = plan
        self.broker = broker
        archive = try await plan.source.archive()
        history = History(
            of: try await broker.topic(plan.topic, of: plan.source), on: broker, archive: archive)
    }

    /// The newest entry that there is, or a place behind it.
    func newest(ofPartition partition: Int) async throws -> StreamID {
        if plan.source.kind == .file { return .newest }
        let stream = stream(ofPartition: partition)
        let live = try await broker.send(.xrevrange(stream, count: 1)).first?.id ?? .zero
        return max(live, try archive?.partition(broker.namespace, plan.topic, partition)?.last ?? .zero)
    }

    func pages(ofPartition partition: Int, in range: ClosedRange<StreamID>) async throws -> ReplayPages {
        switch plan.source.kind {
        case .history: .history(history.pages(ofPartition: partition, in: range))
        case .dead:
            .history(
                HistoryPages(
                    live: broker.entries(of: stream(ofPartition: partition), in: range).makeAsyncIterator()))
        case .file:
            .file(
                try FilePages(
                    plan.source.path ?? "", of: history.topic, partition: partition, in: range))
        }
    }

    private func stream(ofPartition partition: Int) -> String {
        let keys = broker.keys(plan.topic, partition)
        if plan.source.kind == .dead, let group = plan.target.group { return keys.dead(group) }
        return keys.events
    }
}

extension ReplaySource {
    /// The archive that it names; nil when it names none.
    func archive() async throws -> Archive? { kind == .history ? try path.map { try Archive($0) } : nil }
}

extension Broker {
    /// The topic of a source. One that is gone here may be known by the archive.
    func topic(_ name: TopicName, of source: ReplaySource) async throws -> Topic {
        if let topic = try await topic(named: name) { return topic }
        guard let archive = try await source.archive() else { return try await existingTopic(name) }
        return Topic(name, partitions: max(1, try archive.topic(namespace, name).partitions.count))
    }
}

/// Entries of one partition, a page at a time.
enum ReplayPages {
    case history(HistoryPages)
    case file(FilePages)

    mutating func next() async throws -> [StreamEntry]? {
        switch self {
        case .history(var pages):
            defer { self = .history(pages) }
            return try await pages.next()
        case .file(var pages):
            defer { self = .file(pages) }
            return try pages.next()
        }
    }
}

/// A plan's entries, from where a run begins: partition after partition, or all partitions together in the order of their ids.
struct ReplayInput {
    typealias Page = (partition: Int, entries: [StreamEntry])

    private var parts: [(partition: Int, pages: ReplayPages, head: ArraySlice<StreamEntry>)] = []
    private let isMerged: Bool

    /// - Parameter positions: the last entry of a partition that is not read again.
    init(_ plan: ReplayPlan, _ reader: ReplayReader, behind positions: [Int: StreamID]) async throws {
        isMerged = plan.pace.speed != nil
        for part in plan.parts {
            guard let start = positions[part.partition].map(\.successor) ?? part.from else { continue }
            let from = max(start, part.from)
            guard from <= part.to else { continue }
            let pages = try await reader.pages(ofPartition: part.partition, in: from...part.to)
            parts.append((part.partition, pages, []))
        }
    }

    /// The next entries of one partition, never none; nil at the end.
    mutating func next() async throws -> Page? {
        if !isMerged {
            while !parts.isEmpty {
                if let page = try await parts[0].pages.next() { return (parts[0].partition, page) }
                parts.removeFirst()
            }
            return nil
        }
        for index in parts.indices.reversed() where parts[index].head.isEmpty {
            if let page = try await parts[index].pages.next() {
                parts[index].head = page[...]
            } else {
                parts.remove(at: index)
            }
        }
        guard let index = parts.indices.min(by: { Self.first(parts[$0].head) < Self.first(parts[$1].head) })
        else {
            return nil
        }
        // What comes before the others' first goes together.
        let bound = parts.indices.filter { $0 != index }.map { Self.first(parts[$0].head) }.min() ?? .newest
        let count = max(1, parts[index].head.prefix { $0.id <= bound }.count)
        let run = Array(parts[index].head.prefix(count))
        parts[index].head.removeFirst(count)
        return (parts[index].partition, run)
    }

    private static func first(_ head: ArraySlice<StreamEntry>) -> StreamID { head.first?.id ?? .newest }
}
