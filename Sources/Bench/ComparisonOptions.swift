internal import ArgumentParser
internal import Workbench

/// How often and how much is measured, and how it is shown.
struct ComparisonOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Measurements of each side; the medians count.", valueName: "N"))
    var rounds = 7

    @Option(
        help: ArgumentHelp("Events in each measurement, instead of each work's own number.", valueName: "N"))
    var events: Int?

    @Option(
        help: ArgumentHelp(
            "Instead of with C, compare the client that says this of itself (metrics, traces) with the same that does not.",
            valueName: "NAME"))
    var with: [Telemetry] = []

    @Option(help: ArgumentHelp("With traces: which part of them is recorded, 0 to 1.", valueName: "RATIO"))
    var sampled = 1.0

    @Option(
        parsing: .upToNextOption,
        help: ArgumentHelp("The work to compare; all of it unless said otherwise.", valueName: "NAME"))
    var work: [Row] = []

    @Option(help: "table or json.")
    var format = Format.table

    func validate() throws {
        guard (1...1000).contains(rounds) else { throw ValidationError("--rounds is 1 to 1000") }
        guard (1...100_000_000).contains(events ?? 1) else {
            throw ValidationError("--events is 1 to 100000000")
        }
        guard (0...1).contains(sampled) else { throw ValidationError("--sampled is 0 to 1") }
    }

    /// Measures these rows, or those of them that were asked for, and prints the result.
    func compare(_ rows: [Row]) async throws {
        try await untilInterrupted {
            let report = try await withBenchServer { server in
                try await Comparison(
                    server: server, rounds: rounds, events: events, telemetry: with, sampled: sampled
                )
                .run(work.isEmpty ? rows : work)
            }
            print(try format == .json ? report.json() : report.table)
        }
    }
}

/// How results are printed.
enum Format: String, CaseIterable, ExpressibleByArgument {
    case table, json
}
