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

    private let group: GroupName
    private let topic: Topic
    private let limits: ReplayLimits
    private let broker: Broker
    private var failedBefore: Int?
    private var lag = 0
    /// How many of the redelivery streams' entries are not settled.
    private(set) var unsettled = 0
    /// The rate to which the live lag slows the replay.
    private(set) var brake: Double?

    init(_ group: GroupName, _ topic: Topic, _ limits: ReplayLimits, on broker: Broker) {
        (self.group, self.topic, self.limits, self.broker) = (group, topic, limits, broker)
    }

    /// - Parameters:
    ///   - put: how many events this run has put there.
    ///   - rate: how many a second since the last look.
    mutating func look(put: Int, rate: Double) async throws(FreshetError) -> Verdict {
        var (lag, waiting, pending, failed) = (0, 0, 0, 0)
        for partition in 0..<topic.partitions {
            let snapshot = try await broker.snapshot(
                of: group, broker.keys(topic.name, partition), countingUpTo: limits.waiting ?? 2_000)
            lag += snapshot.log.waiting.count
            waiting += snapshot.redelivery.waiting.count
            pending += snapshot.redelivery.pending
            failed += snapshot.delayed + snapshot.dead + snapshot.invalid
        }
        unsettled = waiting + pending
        slowDown(lag, rate)
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

    /// Half as fast while what comes in by itself waits longer and longer, twice as fast again when it does not.
    private mutating func slowDown(_ lag: Int, _ rate: Double) {
        defer { self.lag = lag }
        if lag > max(1000, self.lag) {
            brake = max(10, (brake ?? max(rate, 1000)) / 2)
        } else if let now = brake {
            brake = now > 100_000 ? nil : now * 2
        }
    }
}
