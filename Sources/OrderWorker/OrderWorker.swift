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
                    On(OrderPlaced.self) { order, delivery in
                        try await records.handle(delivery) { try Orders.place(order, deadline: deadline, $0) }
                    }
                    On(OrderOverdue.self) { order, delivery in
                        try await records.handle(delivery) { try Orders.overdue(order, $0) }
                    }
                    On(OrderConfirmed.self, for: .rebuild) { order, delivery in
                        try await records.handle(delivery) {
                            try Orders.recall(order.orderId, .confirmed, at: order.confirmedAt, $0)
                        }
                    }
                    On(OrderCancelled.self, for: .rebuild) { order, delivery in
                        try await records.handle(delivery) {
                            try Orders.recall(order.orderId, .cancelled, at: order.cancelledAt, $0)
                        }
                    }
                },
                worker.subscribe(to: .payments) {
                    On(PaymentCaptured.self) { payment, delivery in
                        try await records.handle(delivery) {
                            try Orders.decide(payment.orderId, .confirmed, reason: nil, $0)
                        }
                    }
                    On(PaymentDeclined.self) { payment, delivery in
                        try await records.handle(delivery) {
                            try Orders.decide(payment.orderId, .cancelled, reason: payment.reason, $0)
                        }
                    }
                },
            ]
        }
    }
}
