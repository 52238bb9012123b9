// What the shop's services agree on, and the only code they share: the topics, the shape of each event, and
// money. It knows nothing of who publishes or handles an event, nor of any service's tables.
public import Freshet

extension Topic {
    /// What becomes of orders: `OrderPlaced`, `OrderConfirmed`, `OrderCancelled`, `OrderOverdue`; the key is the order's id.
    public static let orders = Topic("orders")
    /// What becomes known of customers: `CustomerRegistered`; the key is the customer's id.
    public static let customers = Topic("customers")
    /// What becomes of payments: `PaymentCaptured`, `PaymentDeclined`, `RefundRequested`, `PaymentRefunded`; the key is the order's id.
    public static let payments = Topic("payments")
}

extension Namespace {
    /// Where the shop's keys stand unless a tool is told otherwise.
    public static let shop: Namespace = "shop"
}
