internal import Freshet
internal import FreshetRecords

/// What the service has said of an order is what it had decided, in whatever order a rebuild brings the events that could have
/// decided it: a payment that was captured just when the time for it was over.
extension Orders {
    /// The event that an order's decision follows, when what was said of it came before.
    static func complete(_ orderID: String, by decider: Decider, _ effects: Effects) throws {
        try effects.enqueue(
            """
            UPDATE orders SET decided_by_source = $1
            WHERE order_id = $2 AND decided_by_id = $3 AND decided_by_source IS NULL
            """, .text(orNull: decider.source), .text(orderID), .text(orNull: decider.id))
    }

    /// - Parameter time: the deciding event's, as the service said.
    static func recall(_ orderID: String, _ decision: Decision, at time: String, _ effects: Effects) throws {
        try effects.lock("order \(orderID)")
        let order = try effects.query(
            "SELECT status, updated_at, decided_by_source, decided_by_id FROM orders WHERE order_id = $1",
            .text(orderID)
        ).first
        let said = effects.delivery.event
        guard let status = order?.text("status") else {
            // Placing it comes again, and finds its decision.
            return try effects.enqueue(
                """
                INSERT INTO early_decisions (order_id, decision, event_id, decided_at) VALUES ($1, $2, $3, $4)
                ON CONFLICT DO NOTHING
                """, .text(orderID), .text(decision.rawValue), .text(orNull: said.causationID), .text(time))
        }
        if status == decision.rawValue { return }
        // Of events that would have decided so, the one that this follows. A deadline that was not needed leaves no trace.
        let cause = said.causationID
        let decider = try effects.query(
            """
            SELECT event_source, event_id, refused_at FROM refused_transitions
            WHERE order_id = $1 AND refused = $2 ORDER BY CASE WHEN event_id = $3 THEN 0 ELSE 1 END, refused_at
            """, .text(orderID), .text(decision.rawValue), .text(orNull: cause)
        ).first
        try effects.enqueue(
            """
            UPDATE orders SET status = $1, updated_at = $2, version = 2, decided_by_source = $3, decided_by_id = $4
            WHERE order_id = $5
            """,
            .text(decision.rawValue), .text(decider?.text("refused_at") ?? time),
            .text(orNull: decider?.text("event_source") ?? (status == "placed" ? nil : said.source)),
            .text(orNull: decider?.text("event_id") ?? cause), .text(orderID))
        guard status != "placed" else { return }
        try effects.enqueue(
            "DELETE FROM refused_transitions WHERE order_id = $1 AND refused = $2", .text(orderID),
            .text(decision.rawValue))
        let before = Decider(
            source: order?.text("decided_by_source"), id: order?.text("decided_by_id"),
            time: order?.text("updated_at") ?? "")
        if before.source != said.source {
            try refuse(status, of: orderID, in: decision.rawValue, by: before, effects)
        }
    }
}
