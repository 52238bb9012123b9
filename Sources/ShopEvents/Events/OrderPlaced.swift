public import Freshet

/// A customer has placed an order: the story's first event.
///
/// Version 2 says through which channel, and splits the customer's name.
public struct OrderPlaced: EventPayload, Equatable {
    /// `order.placed`.
    public static let eventType: EventType = "order.placed"
    /// 2.
    public static let schemaVersion = 2
    /// Version 1 knew no channel. Its name is split before the last word.
    public static let upcast = Upcast<Self>(from: OrderPlacedV1.self) { OrderPlaced($0) }

    /// Who ordered, as they named themselves with this order.
    public struct Customer: Codable, Sendable, Equatable {
        /// Names the customer in every event.
        public var id: String
        /// The given names; all of the name where it has no parts.
        public var givenName: String
        /// The family name; may be empty.
        public var familyName: String
        /// The address for mail.
        public var email: String

        /// A customer.
        public init(id: String, givenName: String, familyName: String, email: String) {
            self.id = id
            self.givenName = givenName
            self.familyName = familyName
            self.email = email
        }

        /// A customer by the full name: what follows the last space is the family name.
        public init(id: String, name: String, email: String) {
            let space = name.lastIndex(of: " ")
            self.init(
                id: id, givenName: space.map { String(name[..<$0]) } ?? name,
                familyName: space.map { String(name[name.index(after: $0)...]) } ?? "", email: email)
        }

        /// The full name.
        public var name: String { familyName.isEmpty ? givenName : "\(givenName) \(familyName)" }
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
    /// Where it was placed: `web`, `phone`, `store`, ...; `unknown` for orders from before version 2.
    public var channel: String

    /// An order. The total is taken as given.
    public init(
        orderId: String, customer: Customer, lines: [Line], currency: String, total: Int64,
        paymentToken: String, placedAt: String, channel: String
    ) {
        self.orderId = orderId
        self.customer = customer
        self.lines = lines
        self.currency = currency
        self.total = total
        self.paymentToken = paymentToken
        self.placedAt = placedAt
        self.channel = channel
    }

    /// The id of the event that says so. It follows from the order's id: placing an order twice is one event.
    public var eventID: String { "order.placed:\(orderId)" }
}
