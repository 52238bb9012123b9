public import Freshet

/// `order.placed` as it was before version 2. Such events are in the log, and other programs may still publish them.
public struct OrderPlacedV1: EventPayload, Equatable {
    /// `order.placed`.
    public static let eventType: EventType = "order.placed"

    /// Who ordered.
    public struct Customer: Codable, Sendable, Equatable {
        /// Names the customer in every event.
        public var id: String
        /// The full name.
        public var name: String
        /// The address for mail.
        public var email: String
    }

    /// Names the order for ever; also its key.
    public var orderId: String
    /// Who ordered.
    public var customer: Customer
    /// What was ordered, in the customer's order.
    public var lines: [OrderPlaced.Line]
    /// The ISO 4217 code of every amount.
    public var currency: String
    /// The sum of the lines' amounts, in minor units.
    public var total: Int64
    /// What the payment provider knows the customer's means of payment by.
    public var paymentToken: String
    /// When, in RFC 3339.
    public var placedAt: String
}

extension OrderPlaced {
    init(_ old: OrderPlacedV1) {
        self.init(
            orderId: old.orderId,
            customer: .init(id: old.customer.id, name: old.customer.name, email: old.customer.email),
            lines: old.lines, currency: old.currency, total: old.total, paymentToken: old.paymentToken,
            placedAt: old.placedAt, channel: "unknown")
    }
}
