public import Freshet

/// A customer has placed an order: the story's first event.
public struct OrderPlaced: EventPayload, Equatable {
    /// `order.placed`.
    public static let eventType: EventType = "order.placed"

    /// Who ordered, as they named themselves with this order.
    public struct Customer: Codable, Sendable, Equatable {
        /// Names the customer in every event.
        public var id: String
        /// The full name.
        public var name: String
        /// The address for mail.
        public var email: String

        /// A customer.
        public init(id: String, name: String, email: String) {
            self.id = id
            self.name = name
            self.email = email
        }
    }

    /// One article of an order.
    public struct Line: Codable, Sendable, Equatable {
        /// The article.
        public var sku: String
        /// How many of it, from 1.
        public var quantity: Int
        /// What all of them cost together, in minor units of the order's currency.
        public var amount: Int64

        /// A line.
        public init(sku: String, quantity: Int, amount: Int64) {
            self.sku = sku
            self.quantity = quantity
            self.amount = amount
        }
    }

    /// Names the order for ever; also its key.
    public var orderId: String
    /// Who ordered.
    public var customer: Customer
    /// What was ordered, in the customer's order.
    public var lines: [Line]
    /// The ISO 4217 code of every amount.
    public var currency: String
    /// The sum of the lines' amounts, in minor units.
    public var total: Int64
    /// What the payment provider knows the customer's means of payment by.
    public var paymentToken: String
    /// When, in RFC 3339.
    public var placedAt: String

    /// An order. The total is taken as given.
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

    /// The id of the event that says so. It follows from the order's id: placing an order twice is one event.
    public var eventID: String { "order.placed:\(orderId)" }
}

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
