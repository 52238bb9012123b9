internal import Freshet
internal import FreshetRecords
internal import ShopEvents

/// The order service's tables and what events do to them.
///
/// A payment can be decided before this service has seen the order: both follow the same event, in two services. The
/// decision is then kept until the order comes. What happens to one order happens one after the other.
///
/// Times are those of the events, so that the tables come out the same whenever the events are handled.
enum Orders {
    /// How an order ends.
    enum Decision: String {
        case confirmed, cancelled
    }

    /// The event that an order's decision follows.
    struct Decider {
        let source: String?
        let id: String?
        let time: String
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
        // With a default, so that programs from before this step can go on inserting until they are replaced.
        Migration(
            3, "channels, and how often an order has changed",
            [
                "ALTER TABLE orders ADD COLUMN channel TEXT NOT NULL DEFAULT 'unknown'",
                "ALTER TABLE orders ADD COLUMN version INTEGER NOT NULL DEFAULT 1",
            ]),
        Migration(
            4, "which event decided",
            [
                "ALTER TABLE orders ADD COLUMN decided_by_source TEXT",
                "ALTER TABLE orders ADD COLUMN decided_by_id TEXT",
                "ALTER TABLE early_decisions ADD COLUMN event_source TEXT",
                "ALTER TABLE early_decisions ADD COLUMN event_id TEXT",
                "ALTER TABLE early_decisions ADD COLUMN decided_at TEXT",
            ]),
    ]

    /// - Parameter deadline: how long the payment has until the order is cancelled.
    static func place(_ order: OrderPlaced, deadline: Duration, _ effects: Effects) throws {
        try effects.lock("order \(order.orderId)")
        let time = effects.delivery.event.time.description
        let row = try effects.query(
            """
            INSERT INTO orders (order_id, customer_id, status, currency, total_minor, placed_at, updated_at, channel)
            VALUES ($1, $2, 'placed', $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING
            RETURNING EXISTS
              (SELECT 1 FROM early_decisions WHERE early_decisions.order_id = orders.order_id) AS is_decided
            """,
            .text(order.orderId), .text(order.customer.id), .text(order.currency), .integer(order.total),
            .text(order.placedAt), .text(time), .text(order.channel)
        ).first
        guard let row else { return try placedAgain(order.orderId, at: time, effects) }
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
        if row["is_decided"] == 1 { try decideEarly(order.orderId, effects) }
    }

    /// The same order in another event: what counts is the first, and of its times the earlier one.
    private static func placedAgain(_ orderID: String, at time: String, _ effects: Effects) throws {
        try effects.enqueue(
            "UPDATE orders SET updated_at = $1 WHERE order_id = $2 AND status = 'placed' AND updated_at > $1",
            .text(time), .text(orderID))
    }

    /// The decision came first. Nothing is left of that.
    private static func decideEarly(_ orderID: String, _ effects: Effects) throws {
        let row = try effects.query(
            """
            DELETE FROM early_decisions WHERE order_id = $1
            RETURNING decision, reason, event_source, event_id, decided_at
            """, .text(orderID)
        ).first
        guard let row, let decision = row.text("decision").flatMap(Decision.init) else { return }
        let decider = Decider(
            source: row.text("event_source"), id: row.text("event_id"),
            time: row.text("decided_at") ?? effects.delivery.event.time.description)
        try decideLocked(orderID, decision, reason: row.text("reason"), by: decider, effects)
    }

    static func decide(_ orderID: String, _ decision: Decision, reason: String?, _ effects: Effects) throws {
        try effects.lock("order \(orderID)")
        let event = effects.delivery.event
        let decider = Decider(source: event.source, id: event.id, time: event.time.description)
        try decideLocked(orderID, decision, reason: reason, by: decider, effects)
    }

    private static func decideLocked(
        _ orderID: String, _ decision: Decision, reason: String?, by decider: Decider, _ effects: Effects
    ) throws {
        let order = try effects.query(
            """
            UPDATE orders SET status = $1, updated_at = $2, version = version + 1, decided_by_source = $3,
              decided_by_id = $4
            WHERE order_id = $5 AND status = 'placed' RETURNING customer_id, currency, total_minor
            """,
            .text(decision.rawValue), .text(decider.time), .text(orNull: decider.source),
            .text(orNull: decider.id), .text(orderID)
        ).first
        guard let order else {
            return try notDecided(orderID, decision, reason: reason, by: decider, effects)
        }
        let customerID = order.text("customer_id") ?? ""
        switch decision {
        case .confirmed:
            let event = OrderConfirmed(
                orderId: orderID, customerId: customerID, currency: order.text("currency") ?? "",
                total: order.integer("total_minor") ?? 0, confirmedAt: decider.time)
            try effects.publish(event, to: .orders, key: orderID)
        case .cancelled:
            let event = OrderCancelled(
                orderId: orderID, customerId: customerID, reason: reason ?? "", cancelledAt: decider.time)
            try effects.publish(event, to: .orders, key: orderID)
        }
    }

    /// There is no such order that waits for a decision.
    private static func notDecided(
        _ orderID: String, _ decision: Decision, reason: String?, by decider: Decider, _ effects: Effects
    ) throws {
        let order = try effects.query("SELECT status FROM orders WHERE order_id = $1", .text(orderID)).first
        guard let status = order?.text("status") else {
            return try effects.enqueue(
                """
                INSERT INTO early_decisions (order_id, decision, reason, event_source, event_id, decided_at)
                VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING
                """,
                .text(orderID), .text(decision.rawValue), .text(orNull: reason),
                .text(orNull: decider.source),
                .text(orNull: decider.id), .text(decider.time))
        }
        if status == decision.rawValue { return try complete(orderID, by: decider, effects) }
        // Decided before: the first decision stands. Another one is on record; a captured payment of a cancelled order goes
        // back by itself.
        try refuse(decision.rawValue, of: orderID, in: status, by: decider, effects)
    }

    /// The time for the payment is over: an order without a decision is cancelled.
    static func overdue(_ order: OrderOverdue, _ effects: Effects) throws {
        try effects.lock("order \(order.orderId)")
        let status = try effects.query("SELECT status FROM orders WHERE order_id = $1", .text(order.orderId))
            .first
        guard ["placed", "cancelled"].contains(status?.text("status") ?? "") else { return }
        let event = effects.delivery.event
        try decideLocked(
            order.orderId, .cancelled, reason: "not paid until \(order.deadline)",
            by: Decider(source: event.source, id: event.id, time: event.time.description), effects)
    }

    static func refuse(
        _ decision: String, of orderID: String, in status: String, by decider: Decider, _ effects: Effects
    ) throws {
        try effects.enqueue(
            """
            INSERT INTO refused_transitions (order_id, status, refused, event_source, event_id, refused_at)
            VALUES ($1, $2, $3, $4, $5, $6)
            """,
            .text(orderID), .text(status), .text(decision), .text(decider.source ?? ""),
            .text(decider.id ?? ""),
            .text(decider.time))
    }
}
