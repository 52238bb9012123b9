public import Freshet

/// Someone has ordered.
public struct OrderPlaced: EventPayload, Equatable {
    /// `order.placed`.
    public static let eventType: EventType = "order.placed"

    /// The order.
    public var orderId: String
    /// Who ordered.
    public var customer: Customer
    /// What was ordered.
    public var lines: [Line]
    /// ISO 4217.
    public var currency: String
    /// The sum of the lines, in minor units.
    public var total: Int64
    /// What the payment provider knows the card by.
    public var paymentToken: String
    /// When, RFC 3339.
    public var placedAt: String

    /// All of it.
    public init(
        orderId: String, customer: Customer, lines: [Line], currency: String, total: Int64,
        paymentToken: String, placedAt: String
    ) {
        self.orderId = orderId
        self.customer = customer
        self.lines = lines
        self.currency = currency
        self.total = total
        self.paymentToken = paymentToken
        self.placedAt = placedAt
    }

    /// Who ordered.
    public struct Customer: Codable, Sendable, Equatable {
        /// Names the customer for ever.
        public var id: String
        /// The name.
        public var name: String
        /// The address.
        public var email: String

        /// All of it.
        public init(id: String, name: String, email: String) {
            self.id = id
            self.name = name
            self.email = email
        }
    }

    /// So many of one thing.
    public struct Line: Codable, Sendable, Equatable {
        /// The thing.
        public var sku: String
        /// How many, from 1.
        public var quantity: Int
        /// For all of them, in minor units.
        public var amount: Int64

        /// All of it.
        public init(sku: String, quantity: Int, amount: Int64) {
            self.sku = sku
            self.quantity = quantity
            self.amount = amount
        }
    }

    /// The id of the event: made from the order's, so that placing an order twice is one event.
    public var eventID: String { "order.placed:\(orderId)" }
}

/// An order is paid.
public struct OrderConfirmed: EventPayload, Equatable {
    /// `order.confirmed`.
    public static let eventType: EventType = "order.confirmed"

    /// The order.
    public var orderId: String
    /// Whose order.
    public var customerId: String
    /// ISO 4217.
    public var currency: String
    /// In minor units.
    public var total: Int64
    /// When, RFC 3339.
    public var confirmedAt: String

    /// All of it.
    public init(orderId: String, customerId: String, currency: String, total: Int64, confirmedAt: String) {
        self.orderId = orderId
        self.customerId = customerId
        self.currency = currency
        self.total = total
        self.confirmedAt = confirmedAt
    }
}

/// An order will not be paid.
public struct OrderCancelled: EventPayload, Equatable {
    /// `order.cancelled`.
    public static let eventType: EventType = "order.cancelled"

    /// The order.
    public var orderId: String
    /// Whose order.
    public var customerId: String
    /// Why.
    public var reason: String
    /// When, RFC 3339.
    public var cancelledAt: String

    /// All of it.
    public init(orderId: String, customerId: String, reason: String, cancelledAt: String) {
        self.orderId = orderId
        self.customerId = customerId
        self.reason = reason
        self.cancelledAt = cancelledAt
    }
}
