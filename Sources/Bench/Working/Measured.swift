internal import Freshet

/// The flat event of 256 bytes.
struct Measured: EventPayload {
    static let eventType: EventType = "bench.measured"
    let id: String
    let customer: String
    let total: Int
    let currency: String
    let note: String

    /// As JSON it has 256 bytes.
    static let example = Measured(
        id: "order-0123456789", customer: "customer-0123456789", total: 123_456, currency: "EUR",
        note: String(repeating: "x", count: 156))
}
