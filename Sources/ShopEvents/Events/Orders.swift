public import Freshet

/// An order's payment was captured, and the order stands.
public struct OrderConfirmed: EventPayload, Equatable {
    /// `order.confirmed`.
    public static let eventType: EventType = "order.confirmed"

    /// The order; also the key.
    public var orderId: String
    /// Who ordered.
    public var customerId: String
    /// The total's ISO 4217 code.
    public var currency: String
    /// The order's total, in minor units.
    public var total: Int64
    /// When, in RFC 3339.
    public var confirmedAt: String

    /// A confirmation.
    public init(orderId: String, customerId: String, currency: String, total: Int64, confirmedAt: String) {
        self.orderId = orderId
        self.customerId = customerId
        self.currency = currency
        self.total = total
        self.confirmedAt = confirmedAt
    }
}

/// An order will not be carried out.
public struct OrderCancelled: EventPayload, Equatable {
    /// `order.cancelled`.
    public static let eventType: EventType = "order.cancelled"

    /// The order; also the key.
    public var orderId: String
    /// Who ordered.
    public var customerId: String
    /// Why, for a person.
    public var reason: String
    /// When, in RFC 3339.
    public var cancelledAt: String

    /// A cancellation.
    public init(orderId: String, customerId: String, reason: String, cancelledAt: String) {
        self.orderId = orderId
        self.customerId = customerId
        self.reason = reason
        self.cancelledAt = cancelledAt
    }
}

/// The time in which an order's payment should have been decided is over. Published when the order is placed, and
/// delivered then.
public struct OrderOverdue: EventPayload, Equatable {
    /// `order.overdue`.
    public static let eventType: EventType = "order.overdue"

    /// The order; also the key.
    public var orderId: String
    /// Since when, in RFC 3339.
    public var deadline: String

    /// A deadline.
    public init(orderId: String, deadline: String) {
        self.orderId = orderId
        self.deadline = deadline
    }
}
