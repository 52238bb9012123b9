public import Freshet

/// A customer was seen for the first time.
public struct CustomerRegistered: EventPayload, Equatable {
    /// `customer.registered`.
    public static let eventType: EventType = "customer.registered"

    /// Names the customer in every event; also the key.
    public var customerId: String
    /// The full name.
    public var name: String
    /// The address for mail.
    public var email: String
    /// When, in RFC 3339.
    public var registeredAt: String

    /// A registration.
    public init(customerId: String, name: String, email: String, registeredAt: String) {
        self.customerId = customerId
        self.name = name
        self.email = email
        self.registeredAt = registeredAt
    }
}
