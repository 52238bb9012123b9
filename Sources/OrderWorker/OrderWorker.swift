internal import ArgumentParser
internal import Freshet
internal import FreshetRecords
internal import FreshetSchema
internal import FreshetService
internal import ShopEvents

/// The order service: keeps the orders, and confirms or cancels them as their payments are decided.
@main
struct OrderWorker: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "order-worker",
        abstract:
            "The shop's order service: keeps orders, confirms or cancels them when their payment is decided.",
        discussion:
            "SIGTERM and Ctrl-C drain and exit 0. Exit codes: 69 Redis unreachable, 78 bad configuration.",
        subcommands: [HealthCommand.self])

    @OptionGroup var options: WorkerOptions

    @Option(
        help: "Seconds until an order without a decided payment is cancelled. [PAYMENT_DEADLINE, default 900]"
    )
    var paymentDeadline: Double?

    static func main() async { await Tool.main(Self.self) }

    func run() async throws {
        let defaults = WorkerDefaults(group: "order", namespace: .shop)
        let settings = try options.settings()
        let deadline = try settings.seconds(
            "PAYMENT_DEADLINE", .flag("--payment-deadline", paymentDeadline), default: 900)
        try await Worker.run(
            options, settings, defaults: defaults, contract: .order, migrations: Orders.migrations
        ) { worker in
            let records = worker.records
            return [
                worker.subscribe(to: .orders) {
                    On(OrderPlaced.self, in: records) { try Orders.place($0, deadline: deadline, $1) }
                    On(OrderOverdue.self, in: records) { try Orders.overdue($0, $1) }
                    On(OrderConfirmed.self, in: records, for: .rebuild) { order, effects in
                        try Orders.recall(order.orderId, .confirmed, at: order.confirmedAt, effects)
                    }
                    On(OrderCancelled.self, in: records, for: .rebuild) { order, effects in
                        try Orders.recall(order.orderId, .cancelled, at: order.cancelledAt, effects)
                    }
                },
                worker.subscribe(to: .payments) {
                    On(PaymentCaptured.self, in: records) { payment, effects in
                        try Orders.decide(payment.orderId, .confirmed, reason: nil, effects)
                    }
                    On(PaymentDeclined.self, in: records) { payment, effects in
                        try Orders.decide(payment.orderId, .cancelled, reason: payment.reason, effects)
                    }
                },
            ]
        }
    }
}
