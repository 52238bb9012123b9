public import Freshet
public import Hiredis

/// How segments are cut.
public struct ArchiverOptions: Sendable, Hashable {
    /// How many entries a segment has at most.
    public var segmentEvents = 250_000
    /// How long a segment's lines are about, at most, before they are compressed.
    public var segmentBytes = 128 * 1024 * 1024
    /// Zstandard's level: 1 is fast, 19 is small.
    public var level = 1
    /// Whether retention goes by this archive from now on, also when another one has said within the last day what it has.
    public var takesOver = false

    /// The defaults.
    public init() {}
}

/// What a pass has done with one partition.
public struct ArchiveReport: Sendable, Hashable, Codable {
    /// The topic.
    public let topic: TopicName
    /// The partition, from 0.
    public let partition: Int
    /// How many entries were archived by this pass.
    public internal(set) var archived = 0
    /// How many entries were gone before this pass could archive them.
    public internal(set) var missing = 0
    /// How many entries the archive has of the partition.
    public internal(set) var total = 0
    /// In how many segments.
    public internal(set) var segments = 0
    /// The oldest entry in the archive; nil when there is none.
    public internal(set) var first: StreamID?
    /// The newest entry in the archive; nil when there is none.
    public internal(set) var last: StreamID?
    /// What else a person should know, such as that the log is another one after a failover.
    public internal(set) var notes: [String] = []
}

/// Copies a topic's entries into an archive, and what restoring the topic needs beside them.
///
/// Whenever it dies the archive is whole, and the next archiver goes on without a gap or a repeat. What it has written it
/// reads again before it says in the topic's hash that it is archived (`archived:<partition>`), up to where a retention that
/// asks for it may then cut the log off. Of two archives the one that said so first goes on saying it.
public final class Archiver {
    /// The topic.
    public let topic: Topic
    let broker: Broker
    let options: ArchiverOptions
    let folder: String
    let lock: ArchiveLock
    let compressor: ZstdCompressor
    var manifests: [ArchivePartition]
    var known: ArchivedTopic?
    /// What each partition's log had given out when this last went on after a failover.
    var settled: [Int: StreamID] = [:]
    /// How many missing entries of each partition were reported that no segment counts yet.
    var told: [Int: Int] = [:]

    private init(
        _ topic: Topic, _ broker: Broker, _ options: ArchiverOptions, _ folder: String, _ lock: ArchiveLock
    ) throws(ArchiveError) {
        self.topic = topic
        self.broker = broker
        self.options = options
        self.folder = folder
        self.lock = lock
        compressor = ZstdCompressor(level: options.level)
        manifests = []
        known = try ArchivedTopic.load(folder)
        for partition in 0..<topic.partitions {
            let folder = "\(folder)/\(partition)"
            try ArchiveStorage.makeFolder(folder)
            manifests.append(
                try ArchivePartition.load(folder)
                    ?? ArchivePartition(broker.namespace, topic.name, partition))
        }
    }

    /// An archiver of this topic to this folder, which is made when it is not there; it is the topic's only one until
    /// `close`. Throws `locked` when there is another, and `altered` for an archive that is not whole.
    public static func open(
        _ topic: Topic, on broker: Broker, to folder: String, options: ArchiverOptions = ArchiverOptions()
    ) async throws -> Archiver {
        let folder = "\(folder)/\(broker.namespace)/\(topic.name)"
        try ArchiveStorage.makeFolder(folder)
        let lock = try await ArchiveLock.take(broker, topic.name, folder: folder)
        do {
            let archiver = try Archiver(topic, broker, options, folder, lock)
            try archiver.removeStrangers()
            return archiver
        } catch {
            await lock.release()
            throw error
        }
    }

    /// Lets others archive the topic.
    public func close() async { await lock.release() }

    /// Stays the topic's only one, between two passes that are far apart. Throws `locked` when another has taken over.
    public func keep() async throws { try await lock.renew() }

    /// Archives what the log holds by now, and where its groups stand.
    ///
    /// Throws an `ArchiveError`, and leaves the archive as it is: `refused` when the server has lost a log that the archive
    /// has, has another in its place, or is being restored; `locked` when another archiver has taken over.
    ///
    /// - Parameter onProgress: called with how many entries were archived so far; false ends the pass with the segment
    ///   that is being written, shorter.
    /// - Returns: a report of each partition.
    public func pass(onProgress: (Int) -> Bool = { _ in true }) async throws -> [ArchiveReport] {
        try await lock.renew(force: true)
        try await refuseWhatIsGone()
        let declaration = try await broker.fields(of: topic.name)
        let time = try await broker.serverTime()
        let name = known?.archive ?? ArchivedTopic.newArchive()
        func save(_ partitions: [ArchivedTopic.Partition]) throws {
            let state = ArchivedTopic(
                broker.namespace, topic.name, savedAt: time.description,
                declaration: declaration.filter {
                    !$0.key.hasPrefix("archived:") && $0.key != Restoration.marker
                }, partitions: partitions, archive: name)
            try state.save(folder)
            known = state
        }
        if known?.archive == nil {
            // What a first pass has archived before it is killed can be restored as well.
            let nothing = ArchivedTopic.Partition(archived: 0, groups: [], setAside: [])
            try save(known?.partitions ?? (0..<topic.partitions).map { _ in nothing })
        }
        var reports: [ArchiveReport] = []
        var partitions: [ArchivedTopic.Partition] = []
        var isStopping = false
        for partition in 0..<topic.partitions {
            // Where groups stand is looked at first: they never stand behind the archive's end.
            let groups = try await broker.groupPositions(
                of: topic, partition: partition, declared: declaration)
            // Before the log: what is published meanwhile is seen there, or twice, and never nowhere.
            let scheduled = try await scheduled(partition)
            let before = reports.reduce(0) { $0 + $1.archived }
            let (log, lost, report) = try await archive(partition) { count in
                isStopping = !onProgress(before + count) || isStopping
                return !isStopping
            }
            reports.append(report)
            let manifest = manifests[partition]
            partitions.append(
                ArchivedTopic.Partition(
                    log: log, archived: manifest.count, last: manifest.last, groups: groups,
                    setAside: try await setAside(partition, groups.map(\.name)), scheduled: scheduled,
                    lost: lost > 0 ? lost : nil))
            if isStopping { return reports }
        }
        try await lock.renew(force: true)
        // It may have been emptied since.
        try await refuseWhatIsGone()
        try save(partitions)
        for partition in 0..<topic.partitions {
            try mergeSmall(partition)
            reports[partition].segments = manifests[partition].segments.count
            // Also when nothing is new, so that no other archive takes the mark of one that is at work.
            if let last = manifests[partition].last, let other = try await mark(partition, through: last) {
                reports[partition].notes.append(
                    "retention of '\(topic.name)' partition \(partition) goes by another archive (\(other)), which was at work "
                        + "within the last day: --take-over has it go by this one")
            }
        }
        try removeStrangers()
        return reports
    }
}
