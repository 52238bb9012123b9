internal import Freshet
internal import FreshetRecords
internal import ShopEvents

/// The order service's tables and what events do to them.
///
/// A payment can be decided before this service has seen the order: both follow the same event, in two services. The
/// decision is then kept until the order comes. What happens to one order happens one after the other.
enum Orders {
    /// How an order ends.
    enum Decision: String {
        case confirmed, cancelled
    }

    static let migrations = [
        Migration(
            1, "orders",
            [
                """
                CREATE TABLE orders (
                  order_id TEXT PRIMARY KEY, customer_id TEXT NOT NULL, status TEXT NOT NULL, currency TEXT NOT NULL,
                  total_minor BIGINT NOT NULL, placed_at TEXT NOT NULL, updated_at TEXT NOT NULL)
                """,
                """
                CREATE TABLE order_lines (
                  order_id TEXT NOT NULL, line INTEGER NOT NULL, sku TEXT NOT NULL, quantity INTEGER NOT NULL,
                  amount_minor BIGINT NOT NULL, PRIMARY KEY (order_id, line))
                """,
                "CREATE TABLE early_decisions (order_id TEXT PRIMARY KEY, decision TEXT NOT NULL, reason TEXT)",
            ]),
        Migration(
            2, "what was refused",
            [
                """
                CREATE TABLE refused_transitions (
                  order_id TEXT NOT NULL, status TEXT NOT NULL, refused TEXT NOT NULL, event_source TEXT NOT NULL,
                  event_id TEXT NOT NULL, refused_at TEXT NOT NULL)
                """
            ]),
    ]

    /// - Parameter deadline: how long the payment has until the order is cancelled.
    static func place(_ order: OrderPlaced, deadline: Duration, _ effects: Effects) throws {
        try effects.lock("order \(order.orderId)")
        let isNew =
            try effects.execute(
                """
                INSERT INTO orders (order_id, customer_id, status, currency, total_minor, placed_at, updated_at)
                VALUES ($1, $2, 'placed', $3, $4, $5, $6) ON CONFLICT DO NOTHING
                """,
                .text(order.orderId), .text(order.customer.id), .text(order.currency), .integer(order.total),
                .text(order.placedAt), .text(Timestamp.now().description)) == 1
        // The same order in another event: what counts is the first.
        guard isNew else { return }
        for (number, line) in order.lines.enumerated() {
            try effects.enqueue(
                "INSERT INTO order_lines (order_id, line, sku, quantity, amount_minor) VALUES ($1, $2, $3, $4, $5)",
                .text(order.orderId), .integer(number + 1), .text(line.sku), .integer(line.quantity),
                .integer(line.amount))
        }
        let due = Timestamp(milliseconds: Timestamp.now().milliseconds + deadline.components.seconds * 1000)
        try effects.publish(
            OrderOverdue(orderId: order.orderId, deadline: due.description), to: .orders, key: order.orderId,
            deliverAt: due)
        let early = try effects.query(
            "SELECT decision, reason FROM early_decisions WHERE order_id = $1", .text(order.orderId)
        ).first
        if let early, let decision = early.text("decision").flatMap(Decision.init) {
            try decideLocked(order.orderId, decision, reason: early.text("reason"), effects)
        }
    }

    static func decide(_ orderID: String, _ decision: Decision, reason: String?, _ effects: Effects) throws {
        try effects.lock("order \(orderID)")
        try decideLocked(orderID, decision, reason: reason, effects)
    }

    private static func decideLocked(
        _ orderID: String, _ decision: Decision, reason: String?, _ effects: Effects
    ) throws {
        let now = Timestamp.now().description
        let changed = try effects.execute(
            "UPDATE orders SET status = $1, updated_at = $2 WHERE order_id = $3 AND status = 'placed'",
            .text(decision.rawValue), .text(now), .text(orderID))
        let order = try effects.query(
            "SELECT customer_id, currency, total_minor, status FROM orders WHERE order_id = $1",
            .text(orderID)
        ).first
        guard let order else {
            try effects.enqueue(
                "INSERT INTO early_decisions (order_id, decision, reason) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
                .text(orderID), .text(decision.rawValue), .text(orNull: reason))
            return
        }
        // Decided before: the first decision stands. Another one is on record; a captured payment of a cancelled order goes
        // back by itself.
        guard changed == 1 else {
            if order.text("status") != decision.rawValue {
                try refuse(decision.rawValue, of: orderID, in: order.text("status") ?? "", effects)
            }
            return
        }
        let customerID = order.text("customer_id") ?? ""
        switch decision {
        case .confirmed:
            let event = OrderConfirmed(
                orderId: orderID, customerId: customerID, currency: order.text("currency") ?? "",
                total: order.integer("total_minor") ?? 0, confirmedAt: now)
            try effects.publish(event, to: .orders, key: orderID)
        case .cancelled:
            let event = OrderCancelled(
                orderId: orderID, customerId: customerID, reason: reason ?? "", cancelledAt: now)
            try effects.publish(event, to: .orders, key: orderID)
        }
    }

    /// The time for the payment is over: an order without a decision is cancelled.
    static func overdue(_ order: OrderOverdue, _ effects: Effects) throws {
        try effects.lock("order \(order.orderId)")
        let status = try effects.query("SELECT status FROM orders WHERE order_id = $1", .text(order.orderId))
            .first
        guard status?.text("status") == "placed" else { return }
        try decideLocked(order.orderId, .cancelled, reason: "not paid until \(order.deadline)", effects)
    }

    private static func refuse(_ decision: String, of orderID: String, in status: String, _ effects: Effects)
        throws
    {
        let event = effects.delivery.event
        try effects.enqueue(
            """
            INSERT INTO refused_transitions (order_id, status, refused, event_source, event_id, refused_at)
            VALUES ($1, $2, $3, $4, $5, $6)
            """,
            .text(orderID), .text(status), .text(decision), .text(event.source), .text(event.id),
            .text(Timestamp.now().description))
    }
}
