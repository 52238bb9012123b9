internal import Hiredis
public import Metrics
internal import Synchronization

/// A backend of swift-metrics that keeps its numbers in this process and says them in Prometheus' text format 0.0.4.
///
/// Counters are counters; a recorder without aggregation (a gauge) and a meter are gauges; a timer is a histogram in seconds
/// and an aggregating recorder one in its own unit. An update is an atomic operation on a handle that its user keeps, or for a
/// histogram a lock that nobody else holds: nothing is looked up or allocated.
///
/// The same name with the same labels is the same series, whoever asks for it. Characters that Prometheus does not know in
/// names become `_`.
public final class PrometheusMetrics: MetricsFactory, Sendable {
    /// What the text is, as HTTP says it.
    public static let contentType = "text/plain; version=0.0.4; charset=utf-8"

    private struct Family {
        let kind: MetricKind
        /// By their labels, as they are written.
        var series: [String: any MetricSeries] = [:]
        /// What else was asked for under this name, and is not exported.
        var refused: Set<MetricKind> = []
    }

    private let families = Guarded<[String: Family]>([:])
    private let collectors = Guarded<[@Sendable () -> Void]>([])
    private let descriptions: [String: MetricDescription]

    /// No numbers yet.
    ///
    /// - Parameter descriptions: what is known of metrics beside their names; those of Freshet are known.
    public init(describing descriptions: [MetricDescription] = []) {
        self.descriptions = Dictionary((MetricDescription.all + descriptions).map { ($0.name, $0) }) { $1 }
    }

    // MARK: - The process's own

    private static let own = Guarded<PrometheusMetrics?>(nil)

    /// The backend of this process, put in place by the first call.
    ///
    /// - Returns: nil when the program has brought another backend: that one is kept, and there is no text of its metrics.
    public static func bootstrap() -> PrometheusMetrics? {
        own.withLock { own in
            if let own { return own }
            let present = MetricsSystem.factory
            guard present is NOOPMetricsHandler else { return present as? PrometheusMetrics }
            let metrics = PrometheusMetrics()
            MetricsSystem.bootstrap(metrics)
            own = metrics
            return metrics
        }
    }

    // MARK: - Saying them

    /// Has the body run before each `text`: it sets what is looked up rather than counted. It must not wait for anything.
    package func onCollect(_ body: @escaping @Sendable () -> Void) {
        collectors.withLock { $0.append(body) }
    }

    /// All metrics, sorted by name and then by labels.
    public func text() -> String {
        for collect in collectors.withLock({ $0 }) { collect() }
        let families = families.withLock { $0 }
        var text = ""
        text.reserveCapacity(8192)
        for (name, family) in families.sorted(by: { $0.key < $1.key }) {
            if let help = descriptions[name]?.help {
                text += "# HELP \(name) \(MetricText.escaped(help: help))\n"
            }
            text += "# TYPE \(name) \(family.kind.rawValue)\n"
            for kind in family.refused.sorted(by: { $0.rawValue < $1.rawValue }) {
                text += "# \(name) was also asked for as a \(kind.rawValue), which is left out\n"
            }
            for (labels, series) in family.series.sorted(by: { $0.key < $1.key }) {
                series.write(to: &text, name: name, labels: labels)
            }
        }
        return text
    }

    // MARK: - MetricsFactory

    /// A counter.
    public func makeCounter(label: String, dimensions: [(String, String)]) -> any CounterHandler {
        series(label, dimensions, .counter) { _ in CounterSeries() }
    }

    /// A counter.
    public func makeFloatingPointCounter(label: String, dimensions: [(String, String)])
        -> any FloatingPointCounterHandler
    {
        series(label, dimensions, .counter) { _ in FloatingPointCounterSeries() }
    }

    /// A gauge.
    public func makeMeter(label: String, dimensions: [(String, String)]) -> any MeterHandler {
        series(label, dimensions, .gauge) { _ in GaugeSeries() }
    }

    /// A histogram when it aggregates, else a gauge.
    public func makeRecorder(label: String, dimensions: [(String, String)], aggregate: Bool)
        -> any RecorderHandler
    {
        if aggregate {
            series(label, dimensions, .histogram) {
                HistogramSeries(bounds: $0?.buckets ?? MetricBuckets.numbers)
            }
        } else {
            series(label, dimensions, .gauge) { _ in GaugeSeries() }
        }
    }

    /// A histogram in seconds, whatever unit is preferred.
    public func makeTimer(label: String, dimensions: [(String, String)]) -> any TimerHandler {
        series(label, dimensions, .histogram) {
            HistogramSeries(bounds: $0?.buckets ?? MetricBuckets.seconds)
        }
    }

    /// The series is not exported any more.
    public func destroyCounter(_ handler: any CounterHandler) { remove(handler) }
    /// The series is not exported any more.
    public func destroyFloatingPointCounter(_ handler: any FloatingPointCounterHandler) { remove(handler) }
    /// The series is not exported any more.
    public func destroyMeter(_ handler: any MeterHandler) { remove(handler) }
    /// The series is not exported any more.
    public func destroyRecorder(_ handler: any RecorderHandler) { remove(handler) }
    /// The series is not exported any more.
    public func destroyTimer(_ handler: any TimerHandler) { remove(handler) }

    // MARK: - The series

    private func series<Series: MetricSeries>(
        _ label: String, _ dimensions: [(String, String)], _ kind: MetricKind,
        _ make: (MetricDescription?) -> Series
    ) -> Series {
        let name = MetricText.name(label)
        let labels = MetricText.labels(dimensions, of: kind)
        let made = make(descriptions[name])
        return families.withLock { families in
            var family = families[name] ?? Family(kind: kind)
            defer { families[name] = family }
            guard family.kind == kind else {
                // A page with two types under one name is no page at all: what came first is exported.
                family.refused.insert(kind)
                return made
            }
            if let known = family.series[labels] as? Series { return known }
            // A counter of whole numbers and one of others under one name and the same labels: as above.
            if family.series[labels] == nil { family.series[labels] = made }
            return made
        }
    }

    private func remove(_ handler: AnyObject) {
        families.withLock { families in
            for (name, family) in families {
                guard let labels = family.series.first(where: { $0.value === handler })?.key else { continue }
                families[name]?.series[labels] = nil
                if family.series.count == 1 { families[name] = nil }
                return
            }
        }
    }
}
