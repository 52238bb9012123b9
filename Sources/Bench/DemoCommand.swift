internal import ArgumentParser
internal import Workbench

/// `bench demo`
struct DemoCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "demo",
        abstract:
            "Measures the shop on its demo data: orders per second, and what the services spend their time on.",
        discussion: """
            Each round is `shop up` with the three workers, which stand beside this program, from nothing to settled. A \
            worker's CPU is told by threads: the database's is SQL, the loop's is Redis and delivery. JSON is what its \
            payloads cost alone, times how many there were: decoding taken from the loop, encoding from SQL.
            """)

    @Option(help: "Rounds; the one in the middle counts.")
    var rounds = 3

    @Option(help: ArgumentHelp("The orders to place.", valueName: "PATH"))
    var orders = "Sources/Shop/DemoData/cdnow-sample-orders.csv"

    @Option(
        name: .customLong("database-url"),
        help: """
            A PostgreSQL database for the services' records, without the shop's schemas: they are dropped after each \
            round. SQLite otherwise.
            """)
    var databaseURL: String?

    @Option(help: "table or json.")
    var format = Format.table

    func validate() throws {
        guard (1...1000).contains(rounds) else { throw ValidationError("--rounds is 1 to 1000") }
    }

    func run() async throws {
        try await untilInterrupted {
            let report = try await measure()
            print(try format == .json ? report.json() : report.table)
        }
    }

    private func measure() async throws -> DemoReport {
        let progress = Progress()
        defer { progress.clear() }
        let schemas = try databaseURL.map { try DemoSchemas(url: $0) }
        try await schemas?.checkAbsent()
        let postgres = try await schemas?.server()
        var results: [DemoRound.Result] = []
        for round in 1...rounds {
            progress.show("round \(round) of \(rounds)")
            let result: Result<DemoRound.Result, any Error>
            do {
                result = .success(
                    try await DemoRound(orders: orders, databaseURL: databaseURL, postgres: postgres).run())
            } catch { result = .failure(error) }
            // In a task of its own: also when this one is cancelled.
            try await Task { try await schemas?.drop() }.value
            results.append(try result.get())
        }
        return try DemoReport(results)
    }
}
