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
            ]),
        Migration(
            2, "refunds",
            [
                "ALTER TABLE payments ADD COLUMN refund_reference TEXT",
                "CREATE TABLE cancelled_orders (order_id TEXT PRIMARY KEY, reason TEXT NOT NULL)",
            ]),
    ]

    /// Asks the provider outside of any transaction, then records its answer and publishes it in one. The key is the
    /// order's: repeated for whatever reason, by whichever worker, it is one charge.
    func orderPlaced(_ order: OrderPlaced, _ delivery: Delivery) async throws {
        // What a replay brings has mostly been done: no need to ask. Anything else mostly has not.
        if delivery.isReplay,
            try await isDone(delivery, whenStatusIn: ["captured", "declined", "refunded"], order.orderId)
        {
            return
        }
        let answer = try await provider.charge(
            Charge(
                orderID: order.orderId, token: order.paymentToken, currency: order.currency,
                amount: order.total,
                idempotencyKey: Self.chargeKey(order.orderId)))
        Drill.reached(.afterOutsideCall)
        try await records.handle(delivery) { try Self.record(answer, of: order, $0) }
    }

    /// Whether there is nothing left to ask the provider for, by the inbox or else by the payment itself: an inbox that was lost
    /// with its database does not know all that was done. Then it does from here on.
    private func isDone(
        _ delivery: Delivery, whenStatusIn done: Set<String>, _ orderID: String
    ) async throws -> Bool {
        if try await records.hasHandled(delivery) { return true }
        let status = try await records.database.read { database in
            try database.query("SELECT status FROM payments WHERE order_id = $1", .text(orderID)).first?
                .text("status")
        }
        guard let status, done.contains(status) else { return false }
        try await records.handle(delivery) { _ in }
        return true
    }

    private static func chargeKey(_ orderID: String) -> String { "order.placed/\(orderID)/charge" }

    /// An order was cancelled: what was taken for it, or is about to be, goes back.
    static func orderCancelled(_ order: OrderCancelled, _ effects: Effects) throws {
        try effects.lock("payment \(order.orderId)")
        try effects.enqueue(
            "INSERT INTO cancelled_orders (order_id, reason) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            .text(order.orderId), .text(order.reason))
        let payment = try effects.query(
            "SELECT status FROM payments WHERE order_id = $1", .text(order.orderId)
        ).first
        if payment?.text("status") == "captured" {
            try effects.publish(
                RefundRequested(orderId: order.orderId, reason: order.reason), to: .payments,
                key: order.orderId)
        }
    }

    /// Asks the provider for a refund outside of any transaction, then records it and says so.
    func refundRequested(_ request: RefundRequested, _ delivery: Delivery) async throws {
        if delivery.isReplay, try await isDone(delivery, whenStatusIn: ["refunded"], request.orderId) {
            return
        }
        let reference = try await provider.refund(chargedWith: Self.chargeKey(request.orderId))
        Drill.reached(.afterOutsideCall)
        try await records.handle(delivery) { effects in
            try effects.lock("payment \(request.orderId)")
            let changed = try effects.execute(
                """
                UPDATE payments SET status = 'refunded', refund_reference = $1, reason = $2
                WHERE order_id = $3 AND status = 'captured'
                """, .text(reference), .text(request.reason), .text(request.orderId))
            let payment = try effects.query(
                "SELECT currency, amount_minor FROM payments WHERE order_id = $1", .text(request.orderId)
            ).first
            guard changed == 1, let payment else { return }
            let event = PaymentRefunded(
                orderId: request.orderId, currency: payment.text("currency") ?? "",
                amount: payment.integer("amount_minor") ?? 0, providerReference: reference,
                reason: request.reason,
                refundedAt: Timestamp.now().description)
            try effects.publish(event, to: .payments, key: request.orderId)
        }
    }

    private static func record(_ answer: ChargeAnswer, of order: OrderPlaced, _ effects: Effects) throws {
        try effects.lock("payment \(order.orderId)")
        let now = Timestamp.now().description
        let (status, reference, reason): (String, String?, String?) =
            switch answer {
            case .captured(let reference): ("captured", reference, nil)
            case .declined(let reason): ("declined", nil, reason)
            }
        let payment = try effects.query(
            """
            INSERT INTO payments (order_id, status, currency, amount_minor, provider_reference, reason, decided_at)
            VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING
            RETURNING (SELECT reason FROM cancelled_orders WHERE cancelled_orders.order_id = payments.order_id) AS cancelled
            """,
            .text(order.orderId), .text(status), .text(order.currency), .integer(order.total),
            .text(orNull: reference), .text(orNull: reason), .text(now)
        ).first
        // The same order in another event: its payment is decided.
        guard let payment else { return }
        switch answer {
        case .captured(let reference):
            let event = PaymentCaptured(
                orderId: order.orderId, currency: order.currency, amount: order.total,
                providerReference: reference,
                capturedAt: now)
            try effects.publish(event, to: .payments, key: order.orderId)
            if let reason = payment.text("cancelled") {
                let request = RefundRequested(orderId: order.orderId, reason: reason)
                try effects.publish(request, to: .payments, key: order.orderId)
            }
        case .declined(let reason):
            let event = PaymentDeclined(
                orderId: order.orderId, currency: order.currency, amount: order.total, reason: reason,
                declinedAt: now)
            try effects.publish(event, to: .payments, key: order.orderId)
        }
    }
}
