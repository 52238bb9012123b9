internal import FreshetRecords
internal import ShopEvents

/// The records are those of a run in which each event was handled exactly once, and the money adds up.
struct RecordChecks: Sendable {
    private let history: History
    private let services: [String: ServiceState]
    private let orders: [String: RecordsRow]
    private let lines: [String: Int64]
    private let customers: [String: RecordsRow]
    private let payments: [String: RecordsRow]
    private let charges: [RecordsRow]
    private let refused: [RecordsRow]

    init(folder: ShopFolder, history: History, services: [String: ServiceState]) async throws {
        self.history = history
        self.services = services
        let order = try folder.openDatabase(of: "order")
        orders = try await Self.rows("SELECT * FROM orders", by: "order_id", in: order)
        lines = try await Self.rows(
            "SELECT order_id, sum(amount_minor) AS total FROM order_lines GROUP BY order_id", by: "order_id",
            in: order
        ).mapValues { $0.integer("total") ?? 0 }
        customers = try await Self.rows(
            "SELECT * FROM customers", by: "customer_id", in: folder.openDatabase(of: "customer"))
        payments = try await Self.rows(
            "SELECT * FROM payments", by: "order_id", in: folder.openDatabase(of: "payment"))
        refused = try await order.read { try $0.query("SELECT * FROM refused_transitions") }
        charges = try await folder.openDatabase(of: "provider").read { try $0.query("SELECT * FROM charges") }
    }

    func run() -> [Check] {
        effectsOnce
            + [orderRecords, transitions, paymentRecords, customerRecords, moneyByOrder, moneyInSum, ledger]
    }

    // MARK: - Records

    /// After a drill: each event that a service has handled had its effects once.
    private var effectsOnce: [Check] {
        services.sorted { $0.key < $1.key }.compactMap { service, state in
            guard let journal = state.journal else { return nil }
            var counts: [History.Key: Int] = [:]
            for key in journal { counts[key, default: 0] += 1 }
            let twice = counts.filter { $0.value > 1 }.map { "\($0.key) \($0.value) times" }
            let none = counts.keys.filter { !state.inbox.contains($0) }.map { "\($0) without an inbox row" }
            return .of(
                "records", "each event had its effects once in '\(service)'", offenders: twice + none,
                otherwise: "\(counts.count) events")
        }
    }

    private var orderRecords: Check {
        let handled = ordersHandled(by: "order")
        var offenders = Array(Set(orders.keys).symmetricDifference(handled.keys))
        for (id, order) in handled {
            guard let row = orders[id] else { continue }
            let isRight =
                row.text("customer_id") == order.customer.id && row.text("currency") == order.currency
                && row.integer("total_minor") == order.total && row.text("placed_at") == order.placedAt
                && lines[id] == order.total
            if !isRight { offenders.append("order \(id)") }
        }
        return .of(
            "records", "orders are as they were placed", offenders: offenders.sorted(),
            otherwise: "\(orders.count) orders")
    }

    /// An order is placed, and decided once; any further decision was refused and is on record.
    private var transitions: Check {
        var offenders: [String] = []
        // Programs from before the versions decide without counting.
        for (id, order) in orders
        where order.integer("version") ?? 0 > (order.text("status") == "placed" ? 1 : 2) {
            offenders.append(
                "order \(id) is \(order.text("status") ?? "") in version \(order.integer("version") ?? 0)")
        }
        for row in refused {
            let (id, status) = (row.text("order_id") ?? "", row.text("status"))
            if status == row.text("refused") || status != orders[id]?.text("status") {
                offenders.append("order \(id) was refused a change that it has")
            }
        }
        return .of(
            "records", "each order was decided once, and what came after that was refused",
            offenders: offenders.sorted(),
            otherwise: "\(refused.count) refused")
    }

    private var paymentRecords: Check {
        let handled = ordersHandled(by: "payment")
        var offenders = Array(Set(payments.keys).symmetricDifference(handled.keys))
        for (id, order) in handled {
            guard let row = payments[id] else { continue }
            let right = order.paymentToken == "tok_declined" ? ["declined"] : ["captured", "refunded"]
            if !right.contains(row.text("status") ?? "") || row.integer("amount_minor") != order.total {
                offenders.append("payment of \(id)")
            }
        }
        return .of(
            "records", "each order has its one payment", offenders: offenders.sorted(),
            otherwise: "\(payments.count) payments")
    }

    private var customerRecords: Check {
        struct Expected {
            var placed: Int64 = 0
            var confirmed: Int64 = 0
            var spent: Int64 = 0
            var first = "~"
        }
        let inbox = services["customer"]?.inbox ?? []
        var expected: [String: Expected] = [:]
        for order in ordersHandled(by: "customer").values {
            expected[order.customer.id, default: Expected()].placed += 1
            let first = min(expected[order.customer.id]?.first ?? "~", order.placedAt)
            expected[order.customer.id]?.first = first
        }
        for (id, customerID, total, key) in history.confirmed where inbox.contains(key) && orders[id] != nil {
            expected[customerID, default: Expected()].confirmed += 1
            expected[customerID]?.spent += total
        }
        var offenders = Array(Set(customers.keys).symmetricDifference(expected.keys))
        for (id, right) in expected {
            guard let row = customers[id] else { continue }
            let isRight =
                row.integer("orders_placed") == right.placed
                && row.integer("orders_confirmed") == right.confirmed
                && row.integer("spent_minor") == right.spent
                && (row.text("first_order_at") ?? "~") == right.first
            if !isRight { offenders.append("customer \(id)") }
        }
        return .of(
            "records", "customers' counts and sums are those of their orders", offenders: offenders.sorted(),
            otherwise: "\(customers.count) customers")
    }

    // MARK: - Money

    private var moneyByOrder: Check {
        var offenders: [String] = []
        for (id, row) in orders {
            let payment = payments[id]?.text("status")
            switch row.text("status") {
            case "confirmed" where payment != "captured": offenders.append("\(id) is confirmed and not paid")
            // Without a payment the provider has never answered, and time was over.
            case "cancelled" where payment == "captured":
                offenders.append("\(id) is cancelled, paid and not refunded")
            case "confirmed", "cancelled", "placed": continue
            default: offenders.append("\(id) has no known status")
            }
        }
        return .of(
            "money",
            "an order is confirmed when its payment is captured, cancelled when it is declined, refunded or never decided",
            offenders: offenders.sorted(), otherwise: "\(orders.count) orders")
    }

    private var moneyInSum: Check {
        let confirmed = orders.values.filter { $0.text("status") == "confirmed" }
        let undecided = Set(orders.filter { $0.value.text("status") == "placed" }.keys)
        let captured = payments.filter {
            $0.value.text("status") == "captured" && !undecided.contains($0.key)
        }
        .values.filter { orders[$0.text("order_id") ?? ""] != nil }
        let paid = captured.reduce(0) { $0 + ($1.integer("amount_minor") ?? 0) }
        let owed = confirmed.reduce(0) { $0 + ($1.integer("total_minor") ?? 0) }
        let isRight = confirmed.count == captured.count && paid == owed
        let text = "captured \(captured.count) (\(paid)), confirmed \(confirmed.count) (\(owed))"
        return .of(
            "money", "captured payments equal confirmed orders, in number and sum",
            offenders: isRight ? [] : [text], otherwise: "\(text), \(undecided.count) undecided")
    }

    private var ledger: Check {
        var offenders: [String] = []
        var charged: [String: Int] = [:]
        for row in charges where row.text("status") == "captured" {
            let id = row.text("order_id") ?? ""
            charged[id, default: 0] += 1
            if charged[id] != 1 { offenders.append("\(id) was charged twice") }
            let isRefunded = payments[id]?.text("status") == "refunded"
            if row.integer("refunded_minor") != (isRefunded ? row.integer("amount_minor") : 0) {
                offenders.append("\(id): the refund is not that of the records")
            }
            if let payment = payments[id], payment.integer("amount_minor") != row.integer("amount_minor") {
                offenders.append("\(id) was charged another amount")
            }
        }
        for (id, row) in payments
        where ["captured", "refunded"].contains(row.text("status") ?? "") && charged[id] == nil {
            offenders.append("\(id) was never charged")
        }
        return .of(
            "money",
            "the provider's ledger has one charge for each captured payment, given back where it is refunded",
            offenders: offenders.sorted(),
            otherwise: "\(charged.count) charges")
    }

    private func ordersHandled(by service: String) -> [String: OrderPlaced] {
        let inbox = services[service]?.inbox ?? []
        return history.orders.filter { !$0.value.events.isDisjoint(with: inbox) }.mapValues(\.order)
    }

    private static func rows(_ sql: String, by column: String, in database: any Records) async throws
        -> [String: RecordsRow]
    {
        let rows = try await database.read { try $0.query(sql) }
        return Dictionary(rows.map { ($0.text(column) ?? "", $0) }) { first, _ in first }
    }
}
