package import Freshet
internal import Logging

/// The metrics of a whole namespace, from a process that handles nothing itself.
package struct MetricsExporter: Sendable {
    /// Where they can be read.
    package let metrics: PrometheusMetrics
    /// Keeps them up; a service to run.
    package let poller: MetricsPoller
    /// What is said of the process itself.
    package let process: ProcessMetrics

    /// Puts Prometheus' backend in place, unless it is.
    ///
    /// - Throws: `ToolError` when the program has brought another backend.
    package init(of broker: Broker, every interval: Duration = .seconds(5)) throws {
        guard let metrics = PrometheusMetrics.bootstrap() else {
            throw ToolError(.failed, "this program's metrics go elsewhere")
        }
        self.metrics = metrics
        process = ProcessMetrics(service: "exporter", in: metrics)
        let logger = Logger(label: "exporter") { _ in
            LineLogHandler(service: "exporter", level: .info, format: .suited)
        }
        poller = MetricsPoller(.namespace, on: broker, every: interval, logger: logger)
    }

    /// The metrics after one look.
    ///
    /// - Throws: `ToolError` when something could not be looked at.
    package func once() async throws -> String {
        try await poller.look()
        process.isReady(true)
        return metrics.text()
    }
}
