internal import DequeModule
internal import Hiredis

/// Which of the entries in hand may start, and which is next. No I/O: the consumer asks and does.
struct Schedule {
    private struct Place: Hashable {
        let partition: Int
        let key: String
    }

    /// How many events of a busy key stay in hand behind the one that runs.
    static let waitingPerKey = 8
    /// How many parked entries a partition may have before nothing more of it is read.
    static let mostParked = 10_000

    private let ordering: Ordering
    private var ready: Deque<HeldEntry> = []
    private var lanes: [Place: KeyLane] = [:]
    private var parkedCounts: [Int: Int] = [:]

    init(_ ordering: Ordering) { self.ordering = ordering }

    var hasReady: Bool { !ready.isEmpty }
    /// Whether so much of the partition waits for busy keys that reading more would not help.
    func isCongested(_ partition: Int) -> Bool { parkedCounts[partition, default: 0] >= Self.mostParked }

    /// Takes an entry up. False when it was parked: the consumer does not hold it any more.
    mutating func add(_ entry: HeldEntry) -> Bool {
        guard ordering == .perKey, let key = entry.content.event.partitionKey else {
            ready.append(entry)
            return true
        }
        let lane = lane(entry.stream.partition, key)
        entry.lane = lane
        if let blocker = lane.blocker, blocker == entry.logPosition, !lane.isBusy {
            // The retry that all others of the key wait for.
            lane.blocker = nil
            start(entry, in: lane)
            return true
        }
        if lane.blocker != nil || lane.isFetching || !lane.parked.isEmpty
            || lane.waiting.count >= Self.waitingPerKey
        {
            park(entry, in: lane)
            return false
        }
        if lane.isBusy { lane.waiting.append(entry) } else { start(entry, in: lane) }
        return true
    }

    /// The entry whose turn it is. Its key is busy until `finished`.
    mutating func next() -> HeldEntry? { ready.popFirst() }

    /// An entry that could not start after all is the first in line again.
    mutating func putBack(_ entry: HeldEntry) { ready.prepend(entry) }

    /// What its handler did with an entry.
    enum Ending {
        /// It is done with, one way or the other.
        case over
        /// It comes again, by the redelivery stream.
        case comesBack
    }

    /// An entry's handler has ended.
    ///
    /// - Returns: entries that the consumer no longer holds (parked behind a retry), and the lane to `fetch` for.
    mutating func finished(_ entry: HeldEntry, _ ending: Ending) -> (parked: [HeldEntry], fetch: KeyLane?) {
        guard let lane = entry.lane, !lane.isDropped else { return ([], nil) }
        lane.isBusy = false
        var parked: [HeldEntry] = []
        if ending == .comesBack {
            lane.blocker = entry.logPosition
            while let last = lane.waiting.popLast() {
                parked.append(last)
                lane.parked.prepend(.init(stream: last.stream, id: last.id))
                parkedCounts[lane.partition, default: 0] += 1
            }
            return (parked, nil)
        }
        return ([], goOn(lane))
    }

    /// A retry that will not come after all: the key goes on without it.
    mutating func unblock(partition: Int, key: String, position: StreamID) -> KeyLane? {
        guard let lane = lanes[Place(partition: partition, key: key)], lane.blocker == position else {
            return nil
        }
        lane.blocker = nil
        return lane.isBusy ? nil : goOn(lane)
    }

    /// A retry of an earlier owner that all later events of the key wait for.
    mutating func block(partition: Int, key: String, position: StreamID) {
        let lane = lane(partition, key)
        lane.blocker = min(lane.blocker ?? position, position)
    }

    /// The next parked entries of a key, to be read again and given to `fetched`.
    mutating func fetch(_ lane: KeyLane) -> [KeyLane.Parked] {
        let next = Array(lane.parked.prefix(Self.waitingPerKey))
        lane.isFetching = !next.isEmpty
        return next
    }

    /// Parked entries were read again: those that still exist, in their order.
    ///
    /// - Returns: the lane when more must be fetched because none of these is left.
    mutating func fetched(_ entries: [HeldEntry], of count: Int, in lane: KeyLane) -> KeyLane? {
        lane.isFetching = false
        let count = min(count, lane.parked.count)
        lane.parked.removeFirst(count)
        parkedCounts[lane.partition, default: 0] -= count
        for entry in entries {
            entry.lane = lane
            lane.waiting.append(entry)
        }
        return lane.isBusy || lane.blocker != nil ? nil : goOn(lane)
    }

    /// Forgets partitions; returns what of them was in hand and had not started.
    mutating func drop(_ partitions: Range<Int>) -> [HeldEntry] {
        var dropped = Array(ready.filter { partitions.contains($0.stream.partition) })
        if !dropped.isEmpty { ready.removeAll { partitions.contains($0.stream.partition) } }
        for (place, lane) in lanes where partitions.contains(place.partition) {
            dropped += lane.waiting
            lane.waiting = []
            lane.parked = []
            lane.blocker = nil
            lane.isDropped = true
            lanes[place] = nil
        }
        for partition in partitions { parkedCounts[partition] = nil }
        return dropped
    }

    private mutating func lane(_ partition: Int, _ key: String) -> KeyLane {
        let place = Place(partition: partition, key: key)
        if let lane = lanes[place] { return lane }
        let lane = KeyLane(partition: partition, key: key)
        lanes[place] = lane
        return lane
    }

    private mutating func start(_ entry: HeldEntry, in lane: KeyLane) {
        lane.isBusy = true
        ready.append(entry)
    }

    private mutating func park(_ entry: HeldEntry, in lane: KeyLane) {
        lane.parked.append(.init(stream: entry.stream, id: entry.id))
        parkedCounts[lane.partition, default: 0] += 1
    }

    /// The next entry of a key that is free: from hand, or to be fetched.
    private mutating func goOn(_ lane: KeyLane) -> KeyLane? {
        if let next = lane.waiting.popFirst() {
            start(next, in: lane)
            return nil
        }
        if !lane.parked.isEmpty { return lane.isFetching ? nil : lane }
        let place = Place(partition: lane.partition, key: lane.key)
        if lane.isEmpty, lanes[place] === lane { lanes[place] = nil }
        return nil
    }
}
