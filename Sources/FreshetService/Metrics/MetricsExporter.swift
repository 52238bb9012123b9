package import Freshet
internal import Logging
internal import ServiceLifecycle
internal import UnixSignals

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

extension MetricsExporter {
    /// Answers `/metrics`, `/livez`, `/readyz` and `/startupz` until SIGTERM or SIGINT.
    ///
    /// - Throws: `ToolError` with `usage` when no port is said, and with `badConfiguration` when it is taken.
    package static func serve(_ broker: Broker, on flags: HTTPFlags, settings: Settings) async throws {
        guard let address = try HTTPAddress(flags, settings) else {
            throw ToolError(.usage, "say --http-port (or HTTP_PORT) to be asked there, or --once")
        }
        let exporter = try MetricsExporter(of: broker)
        let logger = Logger(label: "exporter") { _ in
            LineLogHandler(service: "exporter", level: .info, format: .suited)
        }
        let health = Health(isService: false)
        health.connecting(broker.client)
        health.connected()
        let http = try await HTTPService.start(
            on: address,
            Endpoints(health: health) {
                exporter.process.isReady(
                    await health.checks(for: .ready).allSatisfy { $0.failure == nil })
                return exporter.metrics.text()
            }, logger: logger)
        defer { http.stop() }
        logger.notice("started", metadata: ["http": "\(http.address)"])
        let configuration = ServiceGroupConfiguration(
            services: [.init(service: exporter.poller)], gracefulShutdownSignals: [.sigterm, .sigint],
            logger: logger)
        try await ServiceGroup(configuration: configuration).run()
    }
}
