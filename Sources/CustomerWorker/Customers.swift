internal import Freshet
internal import FreshetRecords
internal import ShopEvents

/// The customer service's tables and what events do to them.
///
/// Events of one order can arrive in any order (they come from two services), so nothing here depends on it: each
/// order counts once when it is placed and once when it is decided, and a customer whose order is confirmed before it
/// was seen placed gets a name when it is. Times are those of the events.
enum Customers {
    static let migrations = [
        Migration(
            1, "customers",
            [
                """
                CREATE TABLE customers (
                  customer_id TEXT PRIMARY KEY, name TEXT NOT NULL, email TEXT NOT NULL, orders_placed BIGINT NOT NULL,
                  orders_confirmed BIGINT NOT NULL, spent_minor BIGINT NOT NULL, first_order_at TEXT,
                  profile_as_of TEXT NOT NULL)
                """,
                """
                CREATE TABLE customer_orders (
                  order_id TEXT PRIMARY KEY, customer_id TEXT NOT NULL, is_placed INTEGER NOT NULL,
                  decision TEXT NOT NULL, updated_at TEXT NOT NULL)
                """,
            ])
    ]

    /// The time of whichever event happened last, not of the one that is handled last.
    private static let later = """
        CASE WHEN customer_orders.updated_at > excluded.updated_at
          THEN customer_orders.updated_at ELSE excluded.updated_at END
        """

    static func orderPlaced(_ order: OrderPlaced, _ effects: Effects) throws {
        let isNew =
            try effects.execute(
                """
                INSERT INTO customer_orders (order_id, customer_id, is_placed, decision, updated_at)
                VALUES ($1, $2, 1, '', $3)
                ON CONFLICT (order_id) DO UPDATE SET is_placed = 1, updated_at = \(later)
                WHERE customer_orders.is_placed = 0
                """,
                .text(order.orderId), .text(order.customer.id),
                .text(effects.delivery.event.time.description)) == 1
        guard isNew else { return }
        let customer = order.customer
        // Name and address are those of the customer's latest order, whichever is handled last.
        let asOf = "\(order.placedAt) \(order.orderId)"
        let row = try effects.query(
            """
            INSERT INTO customers (customer_id, name, email, orders_placed, orders_confirmed, spent_minor,
              first_order_at, profile_as_of)
            VALUES ($1, $2, $3, 1, 0, 0, $4, $5)
            ON CONFLICT (customer_id) DO UPDATE SET
              orders_placed = customers.orders_placed + 1,
              first_order_at = CASE WHEN customers.first_order_at < excluded.first_order_at
                THEN customers.first_order_at ELSE excluded.first_order_at END,
              name = CASE WHEN customers.profile_as_of > excluded.profile_as_of
                THEN customers.name ELSE excluded.name END,
              email = CASE WHEN customers.profile_as_of > excluded.profile_as_of
                THEN customers.email ELSE excluded.email END,
              profile_as_of = CASE WHEN customers.profile_as_of > excluded.profile_as_of
                THEN customers.profile_as_of ELSE excluded.profile_as_of END
            RETURNING orders_placed
            """,
            .text(customer.id), .text(customer.name), .text(customer.email), .text(order.placedAt),
            .text(asOf)
        ).first
        // The row is locked from here on: of two first orders at the same time one registers the customer.
        guard row?.integer("orders_placed") == 1 else { return }
        let event = CustomerRegistered(
            customerId: customer.id, name: customer.name, email: customer.email, registeredAt: order.placedAt)
        try effects.publish(event, to: .customers, key: customer.id)
    }

    static func orderConfirmed(_ order: OrderConfirmed, _ effects: Effects) throws {
        guard try decide(order.orderId, of: order.customerId, "confirmed", effects) else { return }
        try effects.enqueue(
            """
            INSERT INTO customers (customer_id, name, email, orders_placed, orders_confirmed, spent_minor,
              first_order_at, profile_as_of)
            VALUES ($1, '', '', 0, 1, $2, NULL, '')
            ON CONFLICT (customer_id) DO UPDATE SET
              orders_confirmed = customers.orders_confirmed + 1,
              spent_minor = customers.spent_minor + excluded.spent_minor
            """,
            .text(order.customerId), .integer(order.total))
    }

    static func orderCancelled(_ order: OrderCancelled, _ effects: Effects) throws {
        _ = try decide(order.orderId, of: order.customerId, "cancelled", effects)
    }

    /// False when the order was decided before.
    private static func decide(
        _ orderID: String, of customerID: String, _ decision: String, _ effects: Effects
    ) throws -> Bool {
        try effects.execute(
            """
            INSERT INTO customer_orders (order_id, customer_id, is_placed, decision, updated_at)
            VALUES ($1, $2, 0, $3, $4)
            ON CONFLICT (order_id) DO UPDATE SET decision = excluded.decision, updated_at = \(later)
            WHERE customer_orders.decision = ''
            """,
            .text(orderID), .text(customerID), .text(decision),
            .text(effects.delivery.event.time.description)) == 1
    }
}
