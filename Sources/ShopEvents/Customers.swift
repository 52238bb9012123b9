public import Freshet

/// A customer has ordered for the first time.
public struct CustomerRegistered: EventPayload, Equatable {
    /// `customer.registered`.
    public static let eventType: EventType = "customer.registered"

    /// The customer.
    public var customerId: String
    /// The name.
    public var name: String
    /// The address.
    public var email: String
    /// When, RFC 3339.
    public var registeredAt: String

    /// All of it.
    public init(customerId: String, name: String, email: String, registeredAt: String) {
        self.customerId = customerId
        self.name = name
        self.email = email
        self.registeredAt = registeredAt
    }
}
