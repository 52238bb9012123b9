internal import Freshet
internal import FreshetRecords
internal import ShopEvents

/// How the payments become what they were, without asking anybody: from what the service said of them. Every one of these events
/// is applied, whether or not anyone has read it: what it says was done before it was published.
extension Payments {
    static func wasCaptured(_ payment: PaymentCaptured, _ effects: Effects) throws {
        let row = try effects.query(
            """
            INSERT INTO payments (order_id, status, currency, amount_minor, provider_reference, reason, decided_at)
            VALUES ($1, 'captured', $2, $3, $4, NULL, $5) ON CONFLICT DO NOTHING
            RETURNING (SELECT reason FROM cancelled_orders WHERE cancelled_orders.order_id = payments.order_id) AS cancelled
            """,
            .text(payment.orderId), .text(payment.currency), .integer(payment.amount),
            .text(payment.providerReference), .text(payment.capturedAt)
        ).first
        // As it was asked for then: only what is not in the history is.
        guard let reason = row?.text("cancelled") else { return }
        try effects.publish(
            RefundRequested(orderId: payment.orderId, reason: reason), to: .payments, key: payment.orderId)
    }

    static func wasDeclined(_ payment: PaymentDeclined, _ effects: Effects) throws {
        try effects.enqueue(
            """
            INSERT INTO payments (order_id, status, currency, amount_minor, provider_reference, reason, decided_at)
            VALUES ($1, 'declined', $2, $3, NULL, $4, $5) ON CONFLICT DO NOTHING
            """,
            .text(payment.orderId), .text(payment.currency), .integer(payment.amount), .text(payment.reason),
            .text(payment.declinedAt))
    }

    static func wasRefunded(_ payment: PaymentRefunded, _ effects: Effects) throws {
        try effects.enqueue(
            """
            UPDATE payments SET status = 'refunded', refund_reference = $1, reason = $2
            WHERE order_id = $3 AND status = 'captured'
            """, .text(payment.providerReference), .text(payment.reason), .text(payment.orderId))
    }
}
