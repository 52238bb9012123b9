internal import ArgumentParser
internal import FreshetService

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

    static func main() async { await Tool.main(Self.self) }
}
