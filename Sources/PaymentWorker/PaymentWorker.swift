internal import ArgumentParser
internal import Freshet
internal import FreshetRecords
internal import FreshetSchema
internal import FreshetService
internal import ShopEvents

/// The payment service: has each order charged once, and says how it went.
@main
struct PaymentWorker: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "payment-worker",
        abstract: "The shop's payment service: has each order charged once, and says how it went.",
        discussion:
            "SIGTERM and Ctrl-C drain and exit 0. Exit codes: 69 Redis unreachable, 78 bad configuration.",
        subcommands: [HealthCommand.self])

    @OptionGroup var options: WorkerOptions

    @Option(help: "The embedded provider's own ledger. [PAYMENT_PROVIDER_LEDGER, default sqlite:provider.db]")
    var providerLedger: String?

    @Option(help: "Seconds to wait for the provider's answer. [PAYMENT_PROVIDER_TIMEOUT, default 2]")
    var providerTimeout: Double?

    static func main() async { await Tool.main(Self.self) }

    func run() async throws {
        let defaults = WorkerDefaults(group: "payment", namespace: .shop)
        let settings = try options.settings()
        let ledger = try settings.url(
            "PAYMENT_PROVIDER_LEDGER", .flag("--provider-ledger", providerLedger),
            default: "sqlite:provider.db")
        let patience = try settings.seconds(
            "PAYMENT_PROVIDER_TIMEOUT", .flag("--provider-timeout", providerTimeout), default: 2)
        try await Worker.run(
            options, settings, defaults: defaults, contract: .payment, migrations: Payments.migrations
        ) { worker in
            // A rebuild asks nobody, and opens no ledger.
            let provider: any PaymentProvider =
                worker.isRebuilding
                ? SilentProvider()
                : ImpatientProvider(
                    provider: try await EmbeddedProvider(ledger: worker.open(ledger)), patience: patience)
            let records = worker.records
            let payments = Payments(records: records, provider: provider)
            return [
                worker.subscribe(to: .orders) {
                    On(OrderPlaced.self, for: [.live, .redelivery]) { order, delivery in
                        try await payments.orderPlaced(order, delivery)
                    }
                    On(OrderCancelled.self, in: records) { try Payments.orderCancelled($0, $1) }
                },
                worker.subscribe(to: .payments) {
                    On(RefundRequested.self, for: [.live, .redelivery]) { request, delivery in
                        try await payments.refundRequested(request, delivery)
                    }
                    On(PaymentCaptured.self, in: records, for: .rebuild) { try Payments.wasCaptured($0, $1) }
                    On(PaymentDeclined.self, in: records, for: .rebuild) { try Payments.wasDeclined($0, $1) }
                    On(PaymentRefunded.self, in: records, for: .rebuild) { try Payments.wasRefunded($0, $1) }
                },
            ]
        }
    }
}
