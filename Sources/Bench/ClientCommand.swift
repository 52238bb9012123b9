internal import ArgumentParser

/// `bench client`
struct ClientCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "client",
        abstract: "Compares the client with C: events per second, CPU, memory, latency.")

    @OptionGroup var options: ComparisonOptions

    func run() async throws { try await options.compare(Row.client) }
}

/// `bench delivery`
struct DeliveryCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "delivery",
        abstract: "Compares a subscription with C that reads and acknowledges the same events.")

    @OptionGroup var options: ComparisonOptions

    func run() async throws { try await options.compare(Row.delivery) }
}

/// `bench replay`
struct ReplayCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "replay",
        abstract:
            "Compares redelivering and archiving a topic with C that reads it and writes it to another stream."
    )

    @OptionGroup var options: ComparisonOptions

    func run() async throws { try await options.compare(Row.replay) }
}

/// `bench records`
struct RecordsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "records",
        abstract: "Compares handlers with records in SQLite with C on hiredis and sqlite3.",
        discussion: """
            For each event an inbox row and a row of the handler's own, then the acknowledgement. The share of the CPU is told \
            by threads: the database's is SQL, the loop's is Redis and delivery, less what decoding the same JSON costs alone.
            """)

    @OptionGroup var options: ComparisonOptions

    func run() async throws { try await options.compare(Row.records) }
}
