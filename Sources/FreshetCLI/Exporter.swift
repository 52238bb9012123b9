internal import ArgumentParser
internal import FreshetService

/// `freshet exporter`
struct Exporter: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Serves how the groups of a namespace stand, as metrics for Prometheus.",
        discussion: """
            For platforms that scale a group from zero, or that do not scrape workers: lag, backlog, ages and dead letters of all \
            groups, and replays to them. docs/metrics.md says what each number means.

            It answers /metrics, /livez, /readyz and /startupz, on port 9400 unless --http-port or HTTP_PORT says otherwise.

            Examples:
              freshet exporter --namespace shop --http-port 9400
              freshet exporter --namespace shop --once | promtool check metrics
              freshet health ready --http-port 9400             for the check of its container
            """)

    @Flag(help: "Print the metrics and end.") var once = false
    @OptionGroup var http: HTTPFlags
    @Flag(help: "Print each setting with its value and where it comes from, and exit.")
    var printConfig = false
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        if printConfig {
            return try ServedTool.show(connection, http, otherwise: MetricsExporter.port, as: output)
        }
        guard once else { return try await MetricsExporter.serve(connection, at: http) }
        // Its last line ends where `write` ends a line.
        StandardOutput.write(String(try await MetricsExporter.once(connection).dropLast()))
    }
}
