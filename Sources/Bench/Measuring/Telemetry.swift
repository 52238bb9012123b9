internal import ArgumentParser
internal import Freshet
internal import FreshetService
internal import Hiredis
internal import Logging

/// What a process can say of itself while it works, and what saying it costs.
enum Telemetry: String, CaseIterable, Sendable, ExpressibleByArgument {
    /// Prometheus' backend, all groups looked at and the page read once a second: five times as often as a worker's are.
    case metrics
    /// A worker's tracer, and no one who gets the spans.
    case traces

    /// Begins, before there is a client.
    ///
    /// - Parameter sampled: which part of the traces is recorded.
    func begin(sampled: Double) {
        switch self {
        case .traces: NullTraces.begin(sampled)
        case .metrics: _ = PrometheusMetrics.bootstrap()
        }
    }

    /// Goes on beside the work, until it is cancelled.
    func run(on broker: Broker) async {
        switch self {
        case .traces: break
        case .metrics:
            guard let metrics = PrometheusMetrics.bootstrap() else { return }
            let quiet = Logger(label: "bench", factory: { _ in SwiftLogNoOpLogHandler() })
            let poller = MetricsPoller(.namespace, on: broker, every: .seconds(1), logger: quiet)
            await withDiscardingTaskGroup { tasks in
                tasks.addTask { try? await poller.run() }
                tasks.addTask {
                    while !Task.isCancelled {
                        _ = metrics.text()
                        try? await Task.sleep(for: .seconds(1))
                    }
                }
            }
        }
    }
}
