internal import Metrics
internal import Synchronization

/// Ended spans on their way to whoever exports them: so many at most, and those that find it full are dropped, counted, and said once.
/// Who adds one never waits.
package final class SpanQueue: Sendable {
    private struct State {
        var spans: [SpanRecord] = []
        var isClosed = false
        /// The exporter's time to wait is over.
        var isDue = false
        var waiter: CheckedContinuation<Void, Never>?
    }

    let capacity: Int
    /// So many are worth waking the exporter before its time.
    let batch: Int
    private let state = Mutex(State())
    private let dropped = Mutex(0)
    private let counters = (
        exported: Counter(label: "freshet_trace_spans_total", dimensions: [("outcome", "exported")]),
        dropped: Counter(label: "freshet_trace_spans_total", dimensions: [("outcome", "dropped")])
    )

    /// - Parameters:
    ///   - capacity: how many spans wait at most.
    ///   - batch: how many are exported at a time.
    package init(capacity: Int, batch: Int) {
        self.capacity = capacity
        self.batch = min(batch, capacity)
    }

    /// How many were dropped so far, here or later.
    package var droppedCount: Int { dropped.withLock { $0 } }

    func add(_ span: SpanRecord) {
        let (isAdded, waiter) = state.withLock { state in
            guard state.spans.count < capacity, !state.isClosed else {
                return (false, CheckedContinuation<Void, Never>?.none)
            }
            state.spans.append(span)
            return (true, state.spans.count >= batch ? Self.takeWaiter(&state) : nil)
        }
        waiter?.resume()
        if !isAdded { drop(1) }
    }

    private static func takeWaiter(_ state: inout State) -> CheckedContinuation<Void, Never>? {
        defer { state.waiter = nil }
        return state.waiter
    }

    func drop(_ count: Int) {
        guard count > 0 else { return }
        dropped.withLock { $0 += count }
        counters.dropped.increment(by: count)
    }

    func exported(_ count: Int) { counters.exported.increment(by: count) }

    /// The oldest spans, a batch at most.
    package func take() -> [SpanRecord] {
        state.withLock { state in
            let taken = Array(state.spans.prefix(batch))
            state.spans.removeFirst(taken.count)
            return taken
        }
    }

    /// Whether nothing is added any more.
    var isClosed: Bool { state.withLock { $0.isClosed } }

    /// From now on spans are dropped, and `wait` does not wait.
    func close() {
        wake { $0.isClosed = true }
    }

    private func wake(_ change: (inout State) -> Void) {
        let waiter = state.withLock { state in
            change(&state)
            return Self.takeWaiter(&state)
        }
        waiter?.resume()
    }

    /// Waits for a batch and drops it, as an exporter would take it: for measurements.
    package func discard() async {
        await wait(for: .milliseconds(100))
        _ = take()
    }

    /// Waits until there is a batch, the time is over, or it is closed. One waits at a time.
    func wait(for limit: Duration) async {
        let timer = Task {
            try? await Task.sleep(for: limit)
            if !Task.isCancelled { wake { $0.isDue = true } }
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let waits = state.withLock { state in
                    if state.isClosed || state.isDue || state.spans.count >= batch { return false }
                    state.waiter = continuation
                    return true
                }
                if !waits { continuation.resume() }
            }
        } onCancel: {
            wake { $0.isDue = true }
        }
        timer.cancel()
        state.withLock { $0.isDue = false }
    }
}
