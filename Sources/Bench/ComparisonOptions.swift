internal import ArgumentParser
internal import Workbench

/// How often and how much is measured, and how it is shown.
struct ComparisonOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Measurements of each side; the medians count.", valueName: "N"))
    var rounds = 7

    @Option(
        help: ArgumentHelp("Events in each measurement, instead of each work's own number.", valueName: "N"))
    var events: Int?

    @Option(help: "table or json.")
    var format = Format.table

    func validate() throws {
        guard (1...1000).contains(rounds) else { throw ValidationError("--rounds is 1 to 1000") }
        guard (1...100_000_000).contains(events ?? 1) else {
            throw ValidationError("--events is 1 to 100000000")
        }
    }

    /// Measures these rows and prints the result.
    ///
    /// - Parameter traces: which part of the traces is recorded, against the same without; nil compares with C.
    func compare(_ rows: [Row], traces: Double? = nil) async throws {
        try await untilInterrupted {
            let report = try await withBenchServer { server in
                try await Comparison(server: server, rounds: rounds, events: events, traces: traces).run(rows)
            }
            print(try format == .json ? report.json() : report.table)
        }
    }
}

/// How results are printed.
enum Format: String, CaseIterable, ExpressibleByArgument {
    case table, json
}
