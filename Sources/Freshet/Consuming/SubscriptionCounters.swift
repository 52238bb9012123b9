internal import Metrics
internal import Hiredis
internal import Synchronization

/// What a subscription has done so far, for tests and displays; the same counts go to swift-metrics as
/// `freshet_settled_total`, with the topic, the group and the outcome as labels. `freshet_breaker_open` is 1 while the
/// subscription pauses because all its handlers fail; `freshet_retention_trimmed_total` counts entries that the topic's
/// retention cut off, and `freshet_retention_held_back` is how many groups still need more than it would keep.
public final class SubscriptionCounters: Sendable {
    private let counts = Guarded<[Outcome: Int]>([:])
    private let counters: [Outcome: Counter]
    private let breaker: Gauge
    private let trimmed: Counter
    private let heldBack: Gauge

    init(topic: TopicName, group: GroupName) {
        counters = Dictionary(
            uniqueKeysWithValues: Outcome.allCases.map { outcome in
                let labels = [
                    ("topic", topic.rawValue), ("group", group.rawValue), ("outcome", outcome.rawValue),
                ]
                return (outcome, Counter(label: "freshet_settled_total", dimensions: labels))
            })
        breaker = Gauge(
            label: "freshet_breaker_open",
            dimensions: [("topic", topic.rawValue), ("group", group.rawValue)])
        trimmed = Counter(label: "freshet_retention_trimmed_total", dimensions: [("topic", topic.rawValue)])
        heldBack = Gauge(label: "freshet_retention_held_back", dimensions: [("topic", topic.rawValue)])
    }

    func retention(_ report: RetentionReport) {
        trimmed.increment(by: report.trimmed)
        heldBack.record(report.heldBackBy.count)
    }

    func breaker(isOpen: Bool) { breaker.record(isOpen ? 1 : 0) }

    /// How many entries ended so.
    public subscript(outcome: Outcome) -> Int { counts.withLock { $0[outcome, default: 0] } }

    func add(_ outcome: Outcome, _ count: Int = 1) {
        guard count > 0 else { return }
        counts.withLock { $0[outcome, default: 0] += count }
        counters[outcome]?.increment(by: count)
    }
}
