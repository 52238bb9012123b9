internal import ArgumentParser
internal import Workbench

/// `bench client`
struct ClientCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "client",
        abstract: "Compares the client with C: events per second, CPU, memory, latency.")

    @Option(help: ArgumentHelp("Measurements of each side; the medians count.", valueName: "N"))
    var rounds = 7

    @Option(
        help: ArgumentHelp("Events in each measurement, instead of each work's own number.", valueName: "N"))
    var events: Int?

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
    }

    func run() async throws {
        try await untilInterrupted {
            let report = try await withBenchServer { server in
                try await Comparison(server: server, rounds: rounds, events: events)
                    .run(work.isEmpty ? Row.client : work)
            }
            print(try format == .json ? report.json() : report.table)
        }
    }
}

/// `bench delivery`
struct DeliveryCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "delivery",
        abstract: "Compares a subscription with C that reads and acknowledges the same events.")

    @Option(help: ArgumentHelp("Measurements of each side; the medians count.", valueName: "N"))
    var rounds = 7

    @Option(
        help: ArgumentHelp("Events in each measurement, instead of each work's own number.", valueName: "N"))
    var events: Int?

    @Option(help: "table or json.")
    var format = Format.table

    func run() async throws {
        var client = ClientCommand()
        (client.rounds, client.events, client.work, client.format) = (rounds, events, Row.delivery, format)
        try client.validate()
        try await client.run()
    }
}

/// How results are printed.
enum Format: String, CaseIterable, ExpressibleByArgument {
    case table, json
}
