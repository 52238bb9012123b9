internal import FreshetService
internal import Tracing

/// A worker's traces, without anyone who gets them.
enum NullTraces {
    /// Makes spans from now on, as a worker does by `parentbased_traceidratio`, and drops them a batch at a time.
    static func begin(_ ratio: Double) {
        let queue = SpanQueue(capacity: 2048, batch: 512)
        InstrumentationSystem.bootstrap(ServiceTracer(.parentBased(root: .ratio(ratio)), to: queue))
        Task.detached { while true { await queue.discard() } }
    }

    /// The context of a publisher's span that is recorded so often.
    static func traceparent(_ ratio: Double) -> String {
        func digits() -> String {
            let text = String(UInt64.random(in: 1 ... .max), radix: 16)
            return String(repeating: "0", count: 16 - text.count) + text
        }
        let isRecorded = Double.random(in: 0..<1) < ratio
        return "00-\(digits())\(digits())-\(digits())-\(isRecorded ? "01" : "00")"
    }
}
