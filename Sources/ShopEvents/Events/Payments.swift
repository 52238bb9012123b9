public import Freshet

/// The provider has taken an order's total from the customer.
public struct PaymentCaptured: EventPayload, Equatable {
    /// `payment.captured`.
    public static let eventType: EventType = "payment.captured"

    /// The order; also the key.
    public var orderId: String
    /// The amount's ISO 4217 code.
    public var currency: String
    /// What was taken, in minor units.
    public var amount: Int64
    /// What the provider knows the charge by.
    public var providerReference: String
    /// When, in RFC 3339.
    public var capturedAt: String

    /// A captured payment.
    public init(
        orderId: String, currency: String, amount: Int64, providerReference: String, capturedAt: String
    ) {
        self.orderId = orderId
        self.currency = currency
        self.amount = amount
        self.providerReference = providerReference
        self.capturedAt = capturedAt
    }
}

/// The provider will not take an order's total from the customer; asking again would not help.
public struct PaymentDeclined: EventPayload, Equatable {
    /// `payment.declined`.
    public static let eventType: EventType = "payment.declined"

    /// The order; also the key.
    public var orderId: String
    /// The amount's ISO 4217 code.
    public var currency: String
    /// What was asked for, in minor units.
    public var amount: Int64
    /// Why, for a person.
    public var reason: String
    /// When, in RFC 3339.
    public var declinedAt: String

    /// A declined payment.
    public init(orderId: String, currency: String, amount: Int64, reason: String, declinedAt: String) {
        self.orderId = orderId
        self.currency = currency
        self.amount = amount
        self.reason = reason
        self.declinedAt = declinedAt
    }
}
