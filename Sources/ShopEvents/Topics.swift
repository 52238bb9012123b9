public import Freshet

extension Namespace {
    /// What the shop's keys begin with.
    public static let shop: Namespace = "shop"
}

extension Topic {
    /// Orders: placed, confirmed, cancelled.
    public static let orders = Topic("orders")
    /// Customers: registered.
    public static let customers = Topic("customers")
    /// Payments: captured, declined.
    public static let payments = Topic("payments")
}
