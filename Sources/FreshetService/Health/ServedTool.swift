package import Freshet
package import Logging

/// A tool that goes on as a service, such as the exporter and the archiver, and is asked meanwhile how it is.
package enum ServedTool {
    /// Runs the body with a connection, as `ConnectionOptions.withBroker` does, and answers `/livez`, `/readyz`, `/startupz` and
    /// `/metrics`, from before Redis is reached until the body ends. Nowhere without a port.
    ///
    /// It is not ready from the moment of a Ctrl-C or a SIGTERM that `Interruption` defers.
    ///
    /// - Parameters:
    ///   - service: what it calls itself in logs and metrics.
    ///   - port: where it answers when nobody says otherwise; nil for nowhere.
    /// - Throws: `ToolError`: as `ConnectionOptions.withBroker`, and `badConfiguration` when the port is taken.
    package static func run<R>(
        _ service: String, _ connection: ConnectionOptions, at flags: HTTPFlags, otherwise port: Int? = nil,
        _ body: (Broker, Logger) async throws -> R
    ) async throws -> R {
        let logger = Logger(label: service) { _ in
            LineLogHandler(service: service, level: .info, format: .suited)
        }
        guard let address = try HTTPAddress(flags, connection.settings(), otherwise: port) else {
            return try await connection.withBroker { try await body($0, logger) }
        }
        let health = Health(hasDatabase: false)
        let http = try await HTTPService.start(
            on: address, Endpoints(health: health, service: service), logger: logger)
        defer { http.stop() }
        return try await connection.withBroker { broker in
            health.connecting(broker.client)
            health.connected()
            health.runs([])
            let draining = Task {
                while !Interruption.isRequested { try await Task.sleep(for: .milliseconds(50)) }
                health.drains()
            }
            defer { draining.cancel() }
            logger.notice(
                "started", metadata: ["http": "\(http.address)", "namespace": "\(broker.namespace)"])
            return try await body(broker, logger)
        }
    }

    /// Prints each setting with its value and where it comes from.
    package static func show(
        _ connection: ConnectionOptions, _ flags: HTTPFlags, otherwise port: Int? = nil,
        as output: OutputOptions
    ) throws {
        let settings = try connection.settings()
        _ = try connection.read(settings)
        _ = try HTTPAddress(flags, settings, otherwise: port)
        try settings.show(output)
    }
}
