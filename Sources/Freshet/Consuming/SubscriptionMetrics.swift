internal import Hiredis
internal import Metrics
internal import Synchronization

/// What goes to swift-metrics about a subscription beside its counters, with the topic and the group as labels. The handles
/// are made once: an event costs one reading of a clock, and two numbers in histograms.
///
/// - `freshet_delivered_total`: entries taken in hand, with `from`: `log`, `redelivery`, or `claim` from a silent consumer.
/// - `freshet_handler_seconds`: what a handler took. A batch is one observation, and so is each try in place.
/// - `freshet_publish_to_settled_seconds`: from an entry's time in the log to its acknowledgement. The former is the server's
///   clock, the latter this machine's: they are as far off as the clocks are apart, and never below 0. What a replay
///   brings is left out: how old it is says nothing of the group.
/// - `freshet_retries_total`: failed calls that are to be repeated, in place or after a pause.
/// - `freshet_in_progress`: deliveries whose handler runs.
/// - `freshet_partitions_owned`: partitions that are this consumer's, with an order.
/// - `freshet_breaker_open`: 1 while the subscription pauses because all its handlers fail.
/// - `freshet_retention_trimmed_total`, `freshet_retention_held_back`, by topic alone: entries that the topic's retention cut
///   off, and how many groups still need more than it would keep.
final class SubscriptionMetrics: Sendable {
    /// Where a delivery came from.
    enum Source {
        case stream(ReadStream)
        case claim
    }

    /// False when nobody listens: then no clock is read.
    let isOn: Bool
    private let fromLog: Counter
    private let fromRedelivery: Counter
    private let fromClaim: Counter
    private let handling: Timer
    private let waiting: Timer
    private let retries: Counter
    private let inProgress: Contribution
    private let partitions: Contribution
    private let breaker: Gauge
    private let trimmed: Counter
    private let heldBack: Gauge

    init(topic: TopicName, group: GroupName) {
        isOn = !(MetricsSystem.factory is NOOPMetricsHandler)
        let labels = [("topic", topic.rawValue), ("group", group.rawValue)]
        func delivered(from source: String) -> Counter {
            Counter(label: "freshet_delivered_total", dimensions: labels + [("from", source)])
        }
        fromLog = delivered(from: "log")
        fromRedelivery = delivered(from: "redelivery")
        fromClaim = delivered(from: "claim")
        func timer(_ name: String) -> Timer {
            Timer(label: name, dimensions: labels, preferredDisplayUnit: .seconds)
        }
        handling = timer("freshet_handler_seconds")
        waiting = timer("freshet_publish_to_settled_seconds")
        retries = Counter(label: "freshet_retries_total", dimensions: labels)
        inProgress = Contribution(of: Meter(label: "freshet_in_progress", dimensions: labels))
        partitions = Contribution(of: Meter(label: "freshet_partitions_owned", dimensions: labels))
        breaker = Gauge(label: "freshet_breaker_open", dimensions: labels)
        trimmed = Counter(label: "freshet_retention_trimmed_total", dimensions: [labels[0]])
        heldBack = Gauge(label: "freshet_retention_held_back", dimensions: [labels[0]])
    }

    func delivered(_ count: Int, from source: Source) {
        guard count > 0 else { return }
        switch source {
        case .claim: fromClaim.increment(by: count)
        case .stream(let stream) where stream.isRedelivery: fromRedelivery.increment(by: count)
        case .stream: fromLog.increment(by: count)
        }
    }

    /// The clock that handlers are timed by; 0 when nobody listens.
    var now: Nanoseconds { isOn ? MonotonicTime.now() : 0 }

    /// A handler has returned or thrown.
    ///
    /// - Parameter began: when it was called; afterwards now, since in a lane the next one begins where the last one ended.
    func handled(since began: inout Nanoseconds) {
        guard isOn else { return }
        let now = MonotonicTime.now()
        handling.recordNanoseconds(Int64(clamping: now &- began))
        began = now
    }

    /// These were acknowledged just now.
    func acknowledged(_ entries: some Sequence<HeldEntry>) {
        guard isOn else { return }
        let now = Timestamp.now().milliseconds
        for entry in entries where entry.content.replayID == nil {
            waiting.recordMilliseconds(max(0, now - Int64(clamping: entry.logPosition.milliseconds)))
        }
    }

    func retried() { retries.increment() }

    func running(_ count: Int) { inProgress.set(count) }

    func owning(_ count: Int) { partitions.set(count) }

    func breaker(isOpen: Bool) { breaker.record(isOpen ? 1 : 0) }

    func retention(_ report: RetentionReport) {
        trimmed.increment(by: report.trimmed)
        heldBack.record(report.heldBackBy.count)
    }
}

/// What one subscription adds to a number of its process: two of them may have the same topic and group.
private final class Contribution: Sendable {
    private let sum: Meter
    private let count = Atomic(0)

    init(of sum: Meter) { self.sum = sum }

    deinit { set(0) }

    func set(_ count: Int) {
        let change = count - self.count.exchange(count, ordering: .relaxed)
        if change != 0 { sum.increment(by: Double(change)) }
    }
}
