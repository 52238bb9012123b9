internal import ArgumentParser
internal import Freshet
internal import FreshetService

/// `freshet exporter`
struct Exporter: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "How the groups of a namespace stand, as metrics for Prometheus.",
        discussion: """
            For platforms that scale a group from zero, or that do not scrape workers: lag, backlog, ages and dead letters of all \
            groups, and replays to them. docs/metrics.md says what each number means.

            Examples:
              freshet exporter --namespace shop --once
            """)

    @Flag(help: "Print the metrics and end.") var once = false
    @OptionGroup var connection: ConnectionOptions

    func run() async throws {
        guard once else { throw ToolError(.usage, "say --once") }
        // Before there is a connection, which counts too.
        _ = PrometheusMetrics.bootstrap()
        try await connection.withBroker { broker in
            let text = try await MetricsExporter(of: broker).once()
            // Its last line ends where `write` ends a line.
            StandardOutput.write(String(text.dropLast()))
        }
    }
}
