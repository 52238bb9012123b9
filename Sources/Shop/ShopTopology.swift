internal import Freshet
internal import ShopEvents

/// Who reads what, for those who look at the shop from outside.
struct Reading: Sendable {
    let topic: Topic
    let group: GroupName
    /// The types that the group has a handler for; others of the topic it acknowledges and passes over.
    let types: Set<EventType>
}

enum ShopTopology {
    static let services = ["order", "customer", "payment"]
    static let topics: [Topic] = [.orders, .customers, .payments]
    static let readings = [
        Reading(topic: .orders, group: "order", types: [OrderPlaced.eventType, OrderOverdue.eventType]),
        Reading(
            topic: .orders, group: "customer",
            types: [OrderPlaced.eventType, OrderConfirmed.eventType, OrderCancelled.eventType]),
        Reading(topic: .orders, group: "payment", types: [OrderPlaced.eventType, OrderCancelled.eventType]),
        Reading(
            topic: .payments, group: "order", types: [PaymentCaptured.eventType, PaymentDeclined.eventType]),
        Reading(topic: .payments, group: "payment", types: [RefundRequested.eventType]),
    ]
}
