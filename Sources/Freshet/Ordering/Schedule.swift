internal import DequeModule
internal import Hiredis

/// Which of the entries in hand may start, and which is next. No I/O: the consumer asks and does.
struct Schedule {
    struct Place: Hashable {
        let partition: Int
        let key: String
    }

    let limits: OrderingLimits
    private let ordering: Ordering
    /// The most entries that wait in memory behind others of their keys.
    private let mostWaiting: Int
    private var ready: Deque<HeldEntry> = []
    var queues: [Place: KeyQueue] = [:]
    /// Deferred entries whose ids are kept, by partition.
    var deferredCounts: [Int: Int] = [:]
    /// Entries in hand that wait behind others of their keys. They take no handler's place.
    private(set) var waitingCount = 0
    private var blockersSoFar = 0

    /// - Parameter mostWaiting: the most entries that wait in memory behind others of their keys.
    init(_ ordering: Ordering, limits: OrderingLimits = OrderingLimits(), mostWaiting: Int = 64) {
        self.ordering = ordering
        self.limits = limits
        self.mostWaiting = mostWaiting
    }

    var hasReady: Bool { !ready.isEmpty }
    /// So many keys have events that wait that no new ones are to be read. Retries are: they end the waiting.
    var isFull: Bool { queues.count >= limits.keys }

    /// Takes an entry up. False when it was deferred: the consumer does not hold it any more.
    mutating func add(_ entry: HeldEntry) -> Bool {
        guard ordering == .perKey, let key = entry.content.event.partitionKey else {
            ready.append(entry)
            return true
        }
        let queue = queue(entry.stream.partition, key)
        entry.queue = queue
        if let index = queue.blockers.firstIndex(where: { $0.position == entry.logPosition }) {
            // The retry that the later events of the key wait for.
            queue.blockers.remove(at: index)
            if index == 0, !queue.isBusy {
                start(entry, in: queue)
                return true
            }
            deferInOrder(entry, in: queue)
            return false
        }
        if queue.isFree {
            start(entry, in: queue)
            return true
        }
        let isInLine = queue.blockers.isEmpty && queue.deferred.isEmpty && !queue.hasOverflow
        if isInLine, !queue.isFetching, queue.waiting.count < limits.waitingPerKey, waitingCount < mostWaiting
        {
            queue.waiting.append(entry)
            waitingCount += 1
            return true
        }
        if queue.hasOverflow || !mayRemember(queue) {
            queue.overflow(entry)
        } else {
            queue.deferred.append(.init(stream: entry.stream, id: entry.id, position: entry.logPosition))
            deferredCounts[queue.partition, default: 0] += 1
        }
        return false
    }

    /// The entry whose turn it is. Its key is busy until `finished`.
    mutating func next() -> HeldEntry? { ready.popFirst() }

    /// What its handler did with an entry.
    enum Ending {
        /// It is done with, one way or the other.
        case over
        /// It comes again, by the redelivery stream.
        case comesBack
    }

    /// An entry's handler has ended.
    ///
    /// - Returns: entries that the consumer no longer holds (deferred behind a retry), and the queue to `fetch` for.
    mutating func finished(_ entry: HeldEntry, _ ending: Ending) -> (deferred: [HeldEntry], fetch: KeyQueue?)
    {
        guard let queue = entry.queue, !queue.isDropped else { return ([], nil) }
        queue.isBusy = false
        guard ending == .comesBack else {
            queue.blockers.removeAll { $0.position == entry.logPosition }
            return ([], goOn(queue))
        }
        block(queue, entry.logPosition)
        var deferred: [HeldEntry] = []
        while let last = queue.waiting.popLast() {
            deferred.append(last)
            queue.deferred.prepend(.init(stream: last.stream, id: last.id, position: last.logPosition))
        }
        waitingCount -= deferred.count
        deferredCounts[queue.partition, default: 0] += deferred.count
        return (deferred, nil)
    }

    // MARK: - Retries

    /// A retry that will not come after all: the key goes on without it.
    mutating func unblock(partition: Int, key: String, position: StreamID) -> KeyQueue? {
        guard let queue = queues[Place(partition: partition, key: key)],
            let index = queue.blockers.firstIndex(where: { $0.position == position })
        else { return nil }
        queue.blockers.remove(at: index)
        return queue.isBusy ? nil : goOn(queue)
    }

    /// A retry that all later events of the key wait for.
    mutating func block(partition: Int, key: String, position: StreamID) {
        block(queue(partition, key), position)
    }

    private mutating func block(_ queue: KeyQueue, _ position: StreamID) {
        guard !queue.blockers.contains(where: { $0.position == position }) else { return }
        blockersSoFar += 1
        let index = queue.blockers.firstIndex { $0.position > position } ?? queue.blockers.endIndex
        queue.blockers.insert(.init(position: position, number: blockersSoFar), at: index)
    }

    /// Every event of the partition that waits for its retry, with its key and the number of the wait.
    func blockers(of partition: Int) -> [StreamID: (key: String, number: Int)] {
        var found: [StreamID: (key: String, number: Int)] = [:]
        for (place, queue) in queues where place.partition == partition {
            for blocker in queue.blockers { found[blocker.position] = (place.key, blocker.number) }
        }
        return found
    }

    /// Whether a key waits for the retry of this event, and it is the same wait.
    func isBlocked(partition: Int, key: String, by position: StreamID, number: Int) -> Bool {
        queues[Place(partition: partition, key: key)]?.blockers
            .contains { $0.position == position && $0.number == number } ?? false
    }

    // MARK: - Deferred entries

    /// The next deferred entries of a key, to be read again and given to `fetched`. None when the key waits
    /// for something else, or when its next entries have to be searched.
    mutating func fetch(_ queue: KeyQueue) -> [KeyQueue.Deferred] {
        guard !queue.isDropped, !queue.isFetching, !queue.isBusy, queue.blockers.isEmpty else { return [] }
        let most = max(1, min(limits.waitingPerKey, mostWaiting - waitingCount))
        let next = Array(queue.deferred.prefix(most))
        queue.isFetching = !next.isEmpty
        return next
    }

    /// Whether the key's next entries are deferred and nothing else keeps them from being read.
    func wantsFetch(_ queue: KeyQueue) -> Bool {
        !queue.isDropped && !queue.isFetching && !queue.isBusy && queue.blockers.isEmpty
            && queue.waiting.isEmpty
            && (!queue.deferred.isEmpty || queue.hasOverflow)
    }

    /// Deferred entries could not be read: they are fetched again.
    mutating func fetchFailed(_ queue: KeyQueue) { queue.isFetching = false }

    /// Deferred entries were read again: those that still exist, in their order.
    ///
    /// - Parameter count: how many of the deferred ones this answers.
    /// - Returns: whether they were taken (else they stay deferred, behind a retry), and the queue when more must be fetched because
    ///   none of these is left.
    mutating func fetched(_ entries: [HeldEntry], of count: Int, in queue: KeyQueue) -> (
        areTaken: Bool, more: KeyQueue?
    ) {
        queue.isFetching = false
        guard queue.blockers.isEmpty else { return (false, nil) }
        queue.deferred.removeFirst(min(count, queue.deferred.count))
        deferredCounts[queue.partition, default: 0] -= count
        for entry in entries {
            entry.queue = queue
            queue.waiting.append(entry)
        }
        waitingCount += entries.count
        return (true, queue.isBusy ? nil : goOn(queue))
    }

    /// Whether the pending entry is one that this schedule has deferred.
    func hasDeferred(_ id: StreamID, of stream: ReadStream, key: String) -> Bool {
        queues[Place(partition: stream.partition, key: key)]?.hasDeferred(id, of: stream) ?? false
    }

    /// Whether anything of the partition waits for a retry or is deferred.
    func hasBehind(_ partition: Int) -> Bool {
        deferredCounts[partition, default: 0] > 0
            || queues.values.contains {
                $0.partition == partition && (!$0.blockers.isEmpty || $0.hasOverflow)
            }
    }

    // MARK: - Forgetting

    /// Forgets partitions; returns what of them was in hand and had not started.
    mutating func drop(_ partitions: Range<Int>) -> [HeldEntry] {
        var dropped = Array(ready.filter { partitions.contains($0.stream.partition) })
        if !dropped.isEmpty { ready.removeAll { partitions.contains($0.stream.partition) } }
        for (place, queue) in queues where partitions.contains(place.partition) {
            dropped += queue.waiting
            waitingCount -= queue.waiting.count
            queue.waiting = []
            queue.deferred = []
            queue.isDropped = true
            queues[place] = nil
        }
        for partition in partitions { deferredCounts[partition] = nil }
        return dropped
    }

    /// Forgets what has not started of a partition; keys whose entries run stay busy, and those whose retry
    /// is being put off stay blocked.
    ///
    /// - Parameter begun: what of the partition is in hand and has started.
    mutating func restart(_ partition: Int, keeping begun: [HeldEntry]) -> [HeldEntry] {
        let dropped = drop(partition..<partition + 1)
        for entry in begun {
            guard let key = entry.content.event.partitionKey, entry.queue != nil else { continue }
            let queue = queue(partition, key)
            entry.queue = queue
            switch entry.stage {
            case .running: queue.isBusy = true
            case .comingBack: block(queue, entry.logPosition)
            case .waiting, .settling: break
            }
            if queue.isFree { queues[Place(partition: partition, key: key)] = nil }
        }
        return dropped
    }

    // MARK: - Queues

    private mutating func queue(_ partition: Int, _ key: String) -> KeyQueue {
        let place = Place(partition: partition, key: key)
        if let queue = queues[place] { return queue }
        let queue = KeyQueue(partition: partition, key: key)
        queues[place] = queue
        return queue
    }

    private mutating func start(_ entry: HeldEntry, in queue: KeyQueue) {
        queue.isBusy = true
        ready.append(entry)
    }

    /// A retry that came before its turn takes its place in the order of the log.
    private mutating func deferInOrder(_ entry: HeldEntry, in queue: KeyQueue) {
        let index =
            queue.deferred.firstIndex { $0.position > entry.logPosition } ?? queue.deferred.endIndex
        queue.deferred.insert(
            .init(stream: entry.stream, id: entry.id, position: entry.logPosition), at: index)
        deferredCounts[queue.partition, default: 0] += 1
    }

    /// Whether another deferred id of the key is kept: a part of the partition's share, so that one key
    /// leaves room for others.
    func mayRemember(_ queue: KeyQueue) -> Bool {
        let perKey = max(limits.waitingPerKey, limits.deferred / 8)
        return queue.deferred.count < perKey && deferredCounts[queue.partition, default: 0] < limits.deferred
    }

    /// The next entry of a key that is free: from memory, or to be fetched.
    private mutating func goOn(_ queue: KeyQueue) -> KeyQueue? {
        guard queue.blockers.isEmpty else { return nil }
        if let next = queue.waiting.popFirst() {
            waitingCount -= 1
            start(next, in: queue)
            return nil
        }
        if !queue.deferred.isEmpty || queue.hasOverflow { return queue.isFetching ? nil : queue }
        let place = Place(partition: queue.partition, key: queue.key)
        if queue.isFree, queues[place] === queue { queues[place] = nil }
        return nil
    }
}
