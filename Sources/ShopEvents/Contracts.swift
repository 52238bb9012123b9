internal import Freshet
public import FreshetSchema

// What each service of the shop may rely on. A worker's is held against its handlers when it starts.

extension ServiceContract {
    /// Whoever takes orders: `shop place` and `shop up`.
    public static let shop = ServiceContract("shop", sends: [.init(OrderPlaced.self, on: .orders)])

    /// The order service. When it rebuilds its tables, what it has said counts.
    public static let order = ServiceContract(
        "order",
        receives: [
            .init(OrderPlaced.self, on: .orders), .init(OrderOverdue.self, on: .orders),
            .init(PaymentCaptured.self, on: .payments), .init(PaymentDeclined.self, on: .payments),
            .init(OrderConfirmed.self, on: .orders, for: .rebuild),
            .init(OrderCancelled.self, on: .orders, for: .rebuild),
        ],
        sends: [
            .init(OrderConfirmed.self, on: .orders), .init(OrderCancelled.self, on: .orders),
            .init(OrderOverdue.self, on: .orders),
        ])

    /// The customer service.
    public static let customer = ServiceContract(
        "customer",
        receives: [
            .init(OrderPlaced.self, on: .orders), .init(OrderConfirmed.self, on: .orders),
            .init(OrderCancelled.self, on: .orders),
        ],
        sends: [.init(CustomerRegistered.self, on: .customers)])

    /// The payment service. It asks itself for refunds, and when it rebuilds its table asks nobody: what it has said counts.
    public static let payment = ServiceContract(
        "payment",
        receives: [
            .init(OrderPlaced.self, on: .orders, for: [.live, .redelivery]),
            .init(OrderCancelled.self, on: .orders),
            .init(RefundRequested.self, on: .payments, for: [.live, .redelivery]),
            .init(PaymentCaptured.self, on: .payments, for: .rebuild),
            .init(PaymentDeclined.self, on: .payments, for: .rebuild),
            .init(PaymentRefunded.self, on: .payments, for: .rebuild),
        ],
        sends: [
            .init(PaymentCaptured.self, on: .payments), .init(PaymentDeclined.self, on: .payments),
            .init(RefundRequested.self, on: .payments), .init(PaymentRefunded.self, on: .payments),
        ])
}
