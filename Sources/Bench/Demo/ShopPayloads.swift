internal import Freshet
internal import ShopEvents

/// What the JSON of the shop's events costs each service: each type's cost alone, times how often it is read and written.
struct ShopPayloads {
    /// Seconds of one service.
    struct Cost {
        var decoding = 0.0
        var encoding = 0.0
    }
    let order: Cost
    let customer: Cost
    let payment: Cost

    init(of summary: ShopSummary) throws {
        let placed = try Counted(summary.placed, Example.placed)
        let overdue = try Counted(summary.placed, Example.overdue)
        let confirmed = try Counted(summary.orders.confirmed, Example.confirmed)
        let cancelled = try Counted(summary.orders.cancelled, Example.cancelled)
        let captured = try Counted(summary.payments.captured.count, Example.captured)
        let declined = try Counted(summary.payments.declined.count, Example.declined)
        let registered = try Counted(summary.customers, Example.registered)
        order = Self.cost(reading: [placed, captured, declined], writing: [overdue, confirmed, cancelled])
        customer = Self.cost(reading: [placed, confirmed, cancelled], writing: [registered])
        payment = Self.cost(reading: [placed, cancelled], writing: [captured, declined])
    }

    private static func cost(reading: [Counted], writing: [Counted]) -> Cost {
        Cost(
            decoding: reading.reduce(0) { $0 + $1.cost.decoding * $1.count } / 1e6,
            encoding: writing.reduce(0) { $0 + $1.cost.encoding * $1.count } / 1e6)
    }

    private struct Counted {
        let count: Double
        let cost: PayloadCost

        init(_ count: Int, _ payload: some EventPayload) throws {
            self.count = Double(count)
            cost = try PayloadCost(of: payload)
        }
    }
}

/// One of each type, as the demo's orders are.
private enum Example {
    static let time = "1997-01-01T00:00:00Z"
    static let id = "cdnow-000001"
    static let placed = OrderPlaced(
        orderId: id,
        customer: .init(id: "c00001", name: "Customer 1", email: "c00001@example.com"),
        lines: [.init(sku: "cd", quantity: 2, amount: 2933)], currency: "USD", total: 2933,
        paymentToken: "tok_visa", placedAt: time, channel: "web")
    static let overdue = OrderOverdue(orderId: id, deadline: time)
    static let confirmed = OrderConfirmed(
        orderId: id, customerId: "c00001", currency: "USD", total: 2933, confirmedAt: time)
    static let cancelled = OrderCancelled(
        orderId: id, customerId: "c00001", reason: "card_declined", cancelledAt: time)
    static let captured = PaymentCaptured(
        orderId: id, currency: "USD", amount: 2933, providerReference: "emb_\(id)", capturedAt: time)
    static let declined = PaymentDeclined(
        orderId: id, currency: "USD", amount: 2933, reason: "card_declined", declinedAt: time)
    static let registered = CustomerRegistered(
        customerId: "c00001", name: "Customer 1", email: "c00001@example.com",
        registeredAt: time)
}
