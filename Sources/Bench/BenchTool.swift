internal import ArgumentParser

/// What the client costs, beside the same work done in C on plain hiredis.
@main
struct BenchTool: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench",
        abstract: "Measures the client beside plain C on hiredis, on a redis-server of its own.",
        discussion: """
            Examples:
              bench client
              bench client --work publish-256 read-ack-256 --rounds 11 --format json
              bench delivery --rounds 5
              bench records --rounds 5
              bench replay --rounds 5
              bench memory
              bench demo

            Every measurement is a process of its own (this program again, or floor-bench beside it), which connects, warms \
            up, and counts only then. Exit codes: 0 done, 1 failed, 64 usage, 130 interrupted.
            """,
        subcommands: [
            ClientCommand.self, DeliveryCommand.self, RecordsCommand.self, ReplayCommand.self,
            MemoryCommand.self,
            DemoCommand.self,
            MeasureCommand.self,
        ],
        defaultSubcommand: ClientCommand.self)
}
