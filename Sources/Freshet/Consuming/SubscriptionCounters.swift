internal import Hiredis
internal import Metrics
internal import Synchronization

/// What a subscription has done so far, for tests and displays. The same counts go to swift-metrics with the topic and the
/// group as labels: the five endings as `freshet_settled_total` by `outcome`, the others each under a name of its own
/// (`freshet_ignored_total`, `freshet_fenced_total`, `freshet_lost_total`, `freshet_claims_total`,
/// `freshet_recovered_total`).
public final class SubscriptionCounters: Sendable {
    private let counts = Guarded<[Int]>(Array(repeating: 0, count: Outcome.allCases.count))
    private let counters: [Counter]

    init(topic: TopicName, group: GroupName) {
        let labels = [("topic", topic.rawValue), ("group", group.rawValue)]
        counters = Outcome.allCases.map { outcome in
            switch outcome {
            case .acknowledged, .scheduled, .dead, .invalid, .released:
                Counter(label: "freshet_settled_total", dimensions: labels + [("outcome", outcome.rawValue)])
            case .ignored: Counter(label: "freshet_ignored_total", dimensions: labels)
            case .fenced: Counter(label: "freshet_fenced_total", dimensions: labels)
            case .lost: Counter(label: "freshet_lost_total", dimensions: labels)
            case .reclaimed: Counter(label: "freshet_claims_total", dimensions: labels)
            case .recovered: Counter(label: "freshet_recovered_total", dimensions: labels)
            }
        }
    }

    /// How many entries ended so.
    public subscript(outcome: Outcome) -> Int { counts.withLock { $0[outcome.place] } }

    func add(_ outcome: Outcome, _ count: Int = 1) {
        guard count > 0 else { return }
        counts.withLock { $0[outcome.place] += count }
        counters[outcome.place].increment(by: count)
    }
}

extension Outcome {
    /// Among `allCases`.
    fileprivate var place: Int {
        switch self {
        case .acknowledged: 0
        case .ignored: 1
        case .scheduled: 2
        case .dead: 3
        case .invalid: 4
        case .released: 5
        case .fenced: 6
        case .lost: 7
        case .reclaimed: 8
        case .recovered: 9
        }
    }
}
