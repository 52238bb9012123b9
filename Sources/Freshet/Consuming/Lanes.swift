internal import DequeModule

/// The tasks that run handlers, and the batches that gather.
///
/// A lane runs one handler after the other. Before it starts one it sees to it that another lane is ready to run as
/// soon as that handler waits for something: handlers that never wait need no switch of tasks, and those that do run side by side.
struct Lanes {
    /// What a lane runs at a time.
    enum Work {
        case one(HeldEntry)
        case batch([HeldEntry], BatchCall)

        /// Its handlers are about to be called.
        func begin() {
            switch self {
            case .one(let entry): entry.stage = .running
            case .batch(let entries, _): for entry in entries { entry.stage = .running }
            }
        }

        /// How many deliveries it is.
        var count: Int {
            switch self {
            case .one: 1
            case .batch(let entries, _): entries.count
            }
        }
    }

    /// Entries of one handler that wait for their batch to be full.
    struct Gathering {
        let batch: BatchCall
        var entries: [HeldEntry]
        let due: ContinuousClock.Instant
    }

    var idle: Deque<CheckedContinuation<Void, Never>> = []
    /// How many there are.
    var count = 0
    /// One was woken or ordered and has not looked yet.
    var isOneComing = false
    var wanted = 0
    /// Who makes new ones.
    var maker: CheckedContinuation<Void, Never>?
    /// By handler.
    var gathering: [ObjectIdentifier: Gathering] = [:]

    /// When the next batch is due though it is not full.
    var nextDue: ContinuousClock.Instant? { gathering.values.map(\.due).min() }

    mutating func takeGathered(of partition: Int) -> [HeldEntry] {
        var taken: [HeldEntry] = []
        for (handler, batch) in gathering {
            taken += batch.entries.filter { $0.stream.partition == partition }
            gathering[handler]?.entries.removeAll { $0.stream.partition == partition }
        }
        return taken
    }
}
