internal import Freshet
internal import FreshetRecords
internal import ShopEvents

/// The payment service's table and what events do to it.
struct Payments: Sendable {
    let records: ServiceRecords
    let provider: any PaymentProvider

    static let migrations = [
        Migration(
            1, "payments",
            [
                """
                CREATE TABLE payments (
                  order_id TEXT PRIMARY KEY, status TEXT NOT NULL, currency TEXT NOT NULL, amount_minor BIGINT NOT NULL,
                  provider_reference TEXT, reason TEXT, decided_at TEXT NOT NULL)
                """
            ])
    ]

    /// Asks the provider outside of any transaction, then records its answer and publishes it in one. The key is the
    /// order's: repeated for whatever reason, by whichever worker, it is one charge.
    func orderPlaced(_ order: OrderPlaced, _ delivery: Delivery) async throws {
        if try await records.hasHandled(delivery) { return }
        let answer = try await provider.charge(
            Charge(
                orderID: order.orderId, token: order.paymentToken, currency: order.currency,
                amount: order.total,
                idempotencyKey: "order.placed/\(order.orderId)/charge"))
        try await records.handle(delivery) { try Self.record(answer, of: order, $0) }
    }

    private static func record(_ answer: ChargeAnswer, of order: OrderPlaced, _ effects: Effects) throws {
        let now = Timestamp.now().description
        let (status, reference, reason): (String, String?, String?) =
            switch answer {
            case .captured(let reference): ("captured", reference, nil)
            case .declined(let reason): ("declined", nil, reason)
            }
        let isNew =
            try effects.execute(
                """
                INSERT INTO payments (order_id, status, currency, amount_minor, provider_reference, reason, decided_at)
                VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING
                """,
                .text(order.orderId), .text(status), .text(order.currency), .integer(order.total),
                .text(orNull: reference), .text(orNull: reason), .text(now)) == 1
        // The same order in another event: its payment is decided.
        guard isNew else { return }
        switch answer {
        case .captured(let reference):
            let event = PaymentCaptured(
                orderId: order.orderId, currency: order.currency, amount: order.total,
                providerReference: reference,
                capturedAt: now)
            try effects.publish(event, to: .payments, key: order.orderId)
        case .declined(let reason):
            let event = PaymentDeclined(
                orderId: order.orderId, currency: order.currency, amount: order.total, reason: reason,
                declinedAt: now)
            try effects.publish(event, to: .payments, key: order.orderId)
        }
    }
}
