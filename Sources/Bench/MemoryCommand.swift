internal import ArgumentParser
internal import Workbench

/// `bench memory`
struct MemoryCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "memory",
        abstract: "Shows that the client's peak memory does not grow with the number of events.")

    @Option(help: ArgumentHelp("Measurements of each size; the medians count.", valueName: "N"))
    var rounds = 3

    @Option(help: ArgumentHelp("The larger number of events.", valueName: "N"))
    var many = 1_000_000

    @Option(
        parsing: .upToNextOption,
        help: ArgumentHelp("The work to measure; all of it unless said otherwise.", valueName: "NAME"))
    var work: [Work] = []

    @Option(help: "table or json.")
    var format = Format.table

    func validate() throws {
        guard (1...1000).contains(rounds) else { throw ValidationError("--rounds is 1 to 1000") }
    }

    func run() async throws {
        try await untilInterrupted {
            let report = try await withBenchServer { server in
                try await MemoryComparison(server: server, rounds: rounds)
                    .run(
                        work.isEmpty
                            ? [
                                .publish(batch: 256), .readAcknowledge(batch: 256), .deliver(.pending),
                                .replay(.redeliver), .replay(.archive),
                            ] : work, few: 10_000, many: many)
            }
            print(try format == .json ? report.json() : report.table)
        }
    }
}
