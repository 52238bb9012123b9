internal import Freshet
internal import Logging
internal import ServiceLifecycle
internal import UnixSignals

/// The metrics of a whole namespace, from a process that handles nothing itself.
package enum MetricsExporter {
    /// Where it answers when nobody says otherwise.
    package static let port = 9400
    private static let service = "exporter"

    /// The metrics after one look.
    ///
    /// - Throws: `ToolError`: as `ConnectionOptions.withBroker`, and when something could not be looked at.
    package static func once(_ connection: ConnectionOptions) async throws -> String {
        let metrics = try bootstrap()
        let process = ProcessMetrics(service: service, in: metrics)
        return try await connection.withBroker { broker in
            try await MetricsPoller(.namespace, on: broker, logger: logger).look()
            process.isReady(true)
            return metrics.text()
        }
    }

    /// Answers `/metrics`, `/livez`, `/readyz` and `/startupz` until SIGTERM or SIGINT. A server that goes away later is waited for.
    ///
    /// - Throws: `ToolError`: as `ConnectionOptions.withBroker`, and `badConfiguration` when the port is taken.
    package static func serve(_ connection: ConnectionOptions, at flags: HTTPFlags) async throws {
        try await ServedTool.run(service, connection, at: flags, otherwise: port) { broker, logger in
            let poller = MetricsPoller(.namespace, on: broker, logger: logger)
            try await ServiceGroup(
                services: [poller], gracefulShutdownSignals: [.sigterm, .sigint], logger: logger
            ).run()
            logger.notice("drained")
        }
    }

    private static let logger = Logger(label: service) { _ in
        LineLogHandler(service: service, level: .info, format: .suited)
    }

    /// Before there is a client, whose metrics would go nowhere.
    private static func bootstrap() throws -> PrometheusMetrics {
        guard let metrics = PrometheusMetrics.bootstrap() else {
            throw ToolError(.failed, "this program's metrics go elsewhere")
        }
        return metrics
    }
}
