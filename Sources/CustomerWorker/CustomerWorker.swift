internal import ArgumentParser
internal import Freshet
internal import FreshetRecords
internal import FreshetSchema
internal import FreshetService
internal import ShopEvents

/// The customer service: knows the customers, what they ordered and what they spent.
@main
struct CustomerWorker: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "customer-worker",
        abstract: "The shop's customer service: knows the customers, what they ordered and what they spent.",
        discussion:
            "SIGTERM and Ctrl-C drain and exit 0. Exit codes: 69 Redis unreachable, 78 bad configuration.",
        subcommands: [HealthCommand.self])

    @OptionGroup var options: WorkerOptions

    static func main() async { await Tool.main(Self.self) }

    func run() async throws {
        let defaults = WorkerDefaults(group: "customer", namespace: .shop)
        try await Worker.run(
            options, defaults: defaults, contract: .customer, migrations: Customers.migrations
        ) { worker in
            let records = worker.records
            return [
                worker.subscribe(to: .orders) {
                    On(OrderPlaced.self, in: records) { try Customers.orderPlaced($0, $1) }
                    On(OrderConfirmed.self, in: records) { try Customers.orderConfirmed($0, $1) }
                    On(OrderCancelled.self, in: records) { try Customers.orderCancelled($0, $1) }
                }
            ]
        }
    }
}
