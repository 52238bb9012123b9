internal import ArgumentParser
internal import FreshetSchema
internal import FreshetService
internal import ShopEvents

/// The whole shop on one machine.
@main
struct ShopTool: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "shop",
        abstract: "The whole shop on one machine: a server, three services, and orders.",
        discussion: """
            Examples:
              shop up --orders orders.csv --exit-when-settled
              shop up --workers order=2,payment=4
              shop place --orders more.csv --redis-url unix:///path/to/shop-data/redis/redis.sock
              shop verify
            """,
        subcommands: [Up.self, Place.self, Verify.self])

    // As each worker has it, for 'freshet schema export': the shop publishes too.
    @Flag(help: "Print what this program sends, with a schema of each event, as JSON, and exit.")
    var describe = false

    func run() throws {
        guard describe else { throw CleanExit.helpRequest(self) }
        try Worker.describe(.shop)
    }

    static func main() async { await Tool.main(Self.self) }
}
