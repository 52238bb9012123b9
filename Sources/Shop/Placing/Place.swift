internal import ArgumentParser
internal import FoundationEssentials
internal import Freshet
internal import FreshetService
internal import Glibc
internal import Hiredis
internal import Synchronization

/// `shop place`
struct Place: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Places the orders of a file: publishes order.placed for each.",
        discussion: """
            CSV with the header order_id,customer_id,name,email,placed_at,sku,quantity,amount,currency,payment_token: a \
            row for each line of an order, the rows of one order together, amounts as decimals; a further column "channel" is \
            optional (web). Or NDJSON, the data of one order.placed a line, in version 1 or 2. Placing a file twice changes no record.

            Exit codes: 65 bad rows, nothing was placed; 2 bad rows were skipped; 69 Redis unreachable.
            """)

    @Option(help: "The file, or - for standard input.")
    var orders: String

    @Option(name: .customLong("redis-url"), help: "Redis. [REDIS_URL, or else the data folder's own]")
    var redisURL: String?

    @Option(help: "A file with settings, in lines NAME=value. [FRESHET_CONFIG]")
    var config: String?

    @Option(help: "The namespace of the shop's keys.")
    var namespace: String = "shop"

    @Option(help: "The shop's data folder.")
    var data: String = "shop-data"

    @Option(help: "Orders a second: 50 or 50/s. As fast as it goes unless said otherwise.")
    var rate: OrderRate?

    @Flag(help: "Place the good orders of a file with bad rows.")
    var skipInvalid = false

    func run() async throws {
        let checked = try CheckedOrders(path: orders, skipInvalid: skipInvalid)
        let client = RedisClient(
            try Settings(file: config).redis(redisURL, default: ShopFolder(data).socketURL))
        defer { client.close() }
        try await client.connect(within: .seconds(5))
        let broker = Broker(client, namespace: try Namespace(checking: namespace))
        let placed = Mutex(0)
        let showsProgress = isatty(2) == 1
        try await OrderPlacer(broker: broker, rate: rate?.perSecond).place(checked) { count in
            let sum = placed.withLock { placed in
                placed += count
                return placed
            }
            if showsProgress {
                StandardError.write("\u{1b}[1A\u{1b}[2Kplaced \(sum) of \(checked.count)")
            }
        }
        print(
            "placed \(checked.count) orders\(checked.skipped > 0 ? ", skipped \(checked.skipped) bad rows" : "")"
        )
        if checked.skipped > 0 { throw ExitCode(ExitStatus.partlyDone.rawValue) }
    }
}

/// `50` or `50/s`
struct OrderRate: ExpressibleByArgument {
    let perSecond: Double

    init?(argument: String) {
        let text = argument.hasSuffix("/s") ? argument.dropLast(2) : argument[...]
        guard let number = Double(text), number > 0 else { return nil }
        perSecond = number
    }
}
