internal import Hiredis
internal import Metrics
internal import Synchronization

/// What a family of metrics is.
enum MetricKind: String, Sendable {
    case counter, gauge, histogram
}

/// One number, or one histogram, with its labels.
protocol MetricSeries: AnyObject, Sendable {
    func write(to text: inout String, name: String, labels: String)
}

/// Counts whole things.
final class CounterSeries: MetricSeries, CounterHandler {
    private let value = Atomic<Int64>(0)

    func increment(by amount: Int64) {
        if amount > 0 { value.wrappingAdd(amount, ordering: .relaxed) }
    }

    func reset() { value.store(0, ordering: .relaxed) }

    func write(to text: inout String, name: String, labels: String) {
        MetricText.write(name, labels, "\(value.load(ordering: .relaxed))", to: &text)
    }
}

/// A number that several threads change at once.
struct AtomicDouble: ~Copyable, Sendable {
    private let bits = Atomic<UInt64>(0)

    var value: Double { Double(bitPattern: bits.load(ordering: .relaxed)) }

    func set(_ value: Double) { bits.store(value.bitPattern, ordering: .relaxed) }

    func add(_ amount: Double) {
        var known = bits.load(ordering: .relaxed)
        while true {
            let sum = (Double(bitPattern: known) + amount).bitPattern
            let (isDone, present) = bits.weakCompareExchange(
                expected: known, desired: sum, ordering: .relaxed)
            if isDone { return }
            known = present
        }
    }
}

/// Counts what comes in parts.
final class FloatingPointCounterSeries: MetricSeries, FloatingPointCounterHandler {
    private let sum = AtomicDouble()

    func increment(by amount: Double) {
        if amount > 0, amount.isFinite { sum.add(amount) }
    }

    func reset() { sum.set(0) }

    func write(to text: inout String, name: String, labels: String) {
        MetricText.write(name, labels, MetricText.number(sum.value), to: &text)
    }
}

/// How much there is of something now.
final class GaugeSeries: MetricSeries, MeterHandler, RecorderHandler {
    private let level = AtomicDouble()

    func set(_ value: Int64) { level.set(Double(value)) }
    func set(_ value: Double) { level.set(value) }
    func record(_ value: Int64) { level.set(Double(value)) }
    func record(_ value: Double) { level.set(value) }

    func increment(by amount: Double) {
        if amount.isFinite { level.add(amount) }
    }

    func decrement(by amount: Double) {
        if amount.isFinite { level.add(-amount) }
    }

    func write(to text: inout String, name: String, labels: String) {
        MetricText.write(name, labels, MetricText.number(level.value), to: &text)
    }
}

/// How often something had which size.
final class HistogramSeries: MetricSeries, TimerHandler, RecorderHandler {
    private struct State {
        /// One more than there are bounds.
        var counts: [Int]
        // Not in nanoseconds: an hour's lag at 10,000 events a second would overflow 64 bits in minutes.
        var sum = 0.0
    }

    private let bounds: [Double]
    private let state: Guarded<State>

    /// - Parameter bounds: the largest value of each bucket, rising; the last bucket takes the rest.
    init(bounds: [Double]) {
        self.bounds = bounds
        state = Guarded(State(counts: Array(repeating: 0, count: bounds.count + 1)))
    }

    func recordNanoseconds(_ duration: Int64) { record(Double(duration) / 1e9) }

    func record(_ value: Int64) { record(Double(value)) }

    func record(_ value: Double) {
        guard !value.isNaN else { return }
        var bucket = 0
        while bucket < bounds.count, value > bounds[bucket] { bucket += 1 }
        state.withLock { state in
            state.counts[bucket] += 1
            state.sum += value
        }
    }

    func write(to text: inout String, name: String, labels: String) {
        let (counts, sum) = state.withLock { ($0.counts, $0.sum) }
        var total = 0
        let separator = labels.isEmpty ? "" : ","
        for (count, bound) in zip(counts, bounds + [.infinity]) {
            total += count
            let labels = "\(labels)\(separator)le=\"\(MetricText.number(bound))\""
            MetricText.write("\(name)_bucket", labels, "\(total)", to: &text)
        }
        MetricText.write("\(name)_sum", labels, MetricText.number(sum), to: &text)
        MetricText.write("\(name)_count", labels, "\(total)", to: &text)
    }
}
