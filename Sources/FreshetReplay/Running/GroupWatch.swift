internal import Freshet
internal import Hiredis

/// Looks at the group that a replay goes to: whether it keeps up, and whether it fails.
struct GroupWatch {
    /// What the replay does because of it.
    enum Verdict: Equatable {
        case goOn
        /// Too many of the replay's events have not been taken.
        case wait
        /// Too many have failed.
        case stop(String)
    }
    private static let fewest = 100
    /// Fewer that wait are no lag.
    private static let manyWaiting = 1000

    private let group: GroupName
    private let topic: Topic
    private let limits: ReplayLimits
    /// Whether what the replay brings leaves the dead letters, so that one that fails again only makes up for it.
    private let emptiesDeadLetters: Bool
    private let broker: Broker
    private var failedBefore: Int?
    /// A server with another history by now may have put dead letters back: they are no failures.
    private var histories: [String] = []
    /// Where the group stood in each log at the last look.
    private var marks: [StreamMarks] = []
    /// How many of the redelivery streams' entries are not settled.
    private(set) var unsettled = 0
    /// The rate to which the live lag slows the replay.
    private(set) var brake: Double?

    init(
        _ group: GroupName, _ topic: Topic, _ limits: ReplayLimits, emptiesDeadLetters: Bool,
        on broker: Broker
    ) {
        (self.group, self.topic, self.limits, self.broker) = (group, topic, limits, broker)
        self.emptiesDeadLetters = emptiesDeadLetters
    }

    /// - Parameters:
    ///   - put: how many events this run has put there.
    ///   - rate: how many a second since the last look.
    mutating func look(put: Int, rate: Double) async throws(FreshetError) -> Verdict {
        var (lag, growth, waiting, failed) = (0, 0, 0, 0)
        var marks: [StreamMarks] = []
        unsettled = 0
        for partition in 0..<topic.partitions {
            let keys = broker.keys(topic.name, partition)
            let snapshot = try await broker.snapshot(of: group, keys, countingUpTo: Self.manyWaiting + 1)
            lag += snapshot.log.waiting.count
            marks.append(snapshot.log.marks)
            if partition < self.marks.count {
                growth +=
                    try await broker.growth(
                        from: self.marks[partition], to: snapshot.log.marks, in: keys.events) ?? 0
            }
            // What is settled leaves the stream.
            unsettled += snapshot.redelivery.length
            waiting += max(0, snapshot.redelivery.length - snapshot.redelivery.pending)
            failed += snapshot.delayed + snapshot.dead + snapshot.invalid
        }
        self.marks = marks
        slowDown(lag > Self.manyWaiting && growth > 0, rate)
        if emptiesDeadLetters {
            failed += put
            let now = try await broker.histories(of: topic.name, partitions: topic.partitions)
            // What was moved while this looked counts for neither.
            if now != histories, !histories.isEmpty { failedBefore = failed + Int(rate) }
            histories = now
        }
        let before = failedBefore ?? failed
        failedBefore = before
        let settled = put - unsettled
        if let limit = limits.errorRate, settled >= Self.fewest,
            Double(failed - before) > limit * Double(settled)
        {
            return .stop(
                "\(failed - before) of \(settled) events failed since it began (retries, dead letters, invalid)"
            )
        }
        return limits.waiting.map { waiting >= $0 } == true ? .wait : .goOn
    }

    /// Half as fast while what comes in by itself waits longer and longer; twice as fast again when it does not, however much waits.
    private mutating func slowDown(_ fallsBehind: Bool, _ rate: Double) {
        if fallsBehind {
            brake = max(10, (brake ?? max(rate, 1000)) / 2)
        } else if let now = brake {
            brake = now > 100_000 ? nil : now * 2
        }
    }
}
