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

/// A captured payment is to be given back: its order was cancelled.
public struct RefundRequested: EventPayload, Equatable {
    /// `payment.refund_requested`.
    public static let eventType: EventType = "payment.refund_requested"

    /// The order; also the key.
    public var orderId: String
    /// Why, for a person.
    public var reason: String

    /// A request.
    public init(orderId: String, reason: String) {
        self.orderId = orderId
        self.reason = reason
    }
}

/// The provider has given a captured payment back.
public struct PaymentRefunded: EventPayload, Equatable {
    /// `payment.refunded`.
    public static let eventType: EventType = "payment.refunded"

    /// The order; also the key.
    public var orderId: String
    /// The amount's ISO 4217 code.
    public var currency: String
    /// What was given back, in minor units: all of it.
    public var amount: Int64
    /// What the provider knows the refund by.
    public var providerReference: String
    /// Why, for a person.
    public var reason: String
    /// When, in RFC 3339.
    public var refundedAt: String

    /// A refunded payment.
    public init(
        orderId: String, currency: String, amount: Int64, providerReference: String, reason: String,
        refundedAt: String
    ) {
        self.orderId = orderId
        self.currency = currency
        self.amount = amount
        self.providerReference = providerReference
        self.reason = reason
        self.refundedAt = refundedAt
    }
}
