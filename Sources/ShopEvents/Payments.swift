public import Freshet

/// An order's payment was taken.
public struct PaymentCaptured: EventPayload, Equatable {
    /// `payment.captured`.
    public static let eventType: EventType = "payment.captured"

    /// The order.
    public var orderId: String
    /// ISO 4217.
    public var currency: String
    /// In minor units.
    public var amount: Int64
    /// What the provider calls the charge.
    public var providerReference: String
    /// When, RFC 3339.
    public var capturedAt: String

    /// All of it.
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

/// An order's payment was refused.
public struct PaymentDeclined: EventPayload, Equatable {
    /// `payment.declined`.
    public static let eventType: EventType = "payment.declined"

    /// The order.
    public var orderId: String
    /// ISO 4217.
    public var currency: String
    /// In minor units.
    public var amount: Int64
    /// Why.
    public var reason: String
    /// When, RFC 3339.
    public var declinedAt: String

    /// All of it.
    public init(orderId: String, currency: String, amount: Int64, reason: String, declinedAt: String) {
        self.orderId = orderId
        self.currency = currency
        self.amount = amount
        self.reason = reason
        self.declinedAt = declinedAt
    }
}
