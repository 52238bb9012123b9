internal import Freshet
internal import FreshetRecords
internal import Hiredis
internal import ShopEvents

/// Puts a summary together from the three databases and the log.
struct Summariser: Sendable {
    let folder: ShopFolder
    let broker: Broker

    func summary(placed: Int, seconds: Double) async throws -> Summary {
        let order = try folder.openDatabase(of: "order")
        let customer = try folder.openDatabase(of: "customer")
        let payment = try folder.openDatabase(of: "payment")
        var summary = Summary(placed: placed, seconds: (seconds * 1000).rounded() / 1000)
        for row in try await order.read({
            try $0.query("SELECT status, count(*) AS n FROM orders GROUP BY status")
        }) {
            let count = Int(row.integer("n") ?? 0)
            switch row.text("status") {
            case "confirmed": summary.orders.confirmed = count
            case "cancelled": summary.orders.cancelled = count
            default: summary.orders.placed += count
            }
        }
        summary.customers = try await Self.count("SELECT count(*) AS n FROM customers", in: customer)
        let payments = try await payment.read {
            try $0.query("SELECT status, count(*) AS n, sum(amount_minor) AS s FROM payments GROUP BY status")
        }
        for row in payments {
            let sum = Summary.Sum(count: Int(row.integer("n") ?? 0), minor: row.integer("s") ?? 0)
            switch row.text("status") {
            case "captured": summary.payments.captured = sum
            case "declined": summary.payments.declined = sum
            default: continue  // given back
            }
        }
        for reading in ShopTopology.readings {
            let keys = broker.keys(reading.topic.name, 0)
            summary.dead += try await length(keys.dead(reading.group))
            summary.invalid += try await length(keys.invalid(reading.group))
        }
        var handled = 0
        for database in [order, customer, payment] {
            handled += try await Self.count("SELECT count(*) AS n FROM inbox", in: database)
        }
        summary.eventsPerSecond = seconds > 0 ? Int((Double(handled) / seconds).rounded()) : 0
        summary.latencyMs = try await latency(order, customer, payment)
        return summary
    }

    /// An order is done when its last record is written: in the order, payment or customer service.
    private func latency(
        _ order: any Records, _ customer: any Records, _ payment: any Records
    ) async throws -> Summary.Latency {
        var last: [String: Int64] = [:]
        let sources: [(any Records, String)] = [
            (order, "SELECT order_id, updated_at AS at FROM orders"),
            (payment, "SELECT order_id, decided_at AS at FROM payments"),
            (customer, "SELECT order_id, updated_at AS at FROM customer_orders"),
        ]
        for (database, query) in sources {
            for row in try await database.read({ try $0.query(query) }) {
                guard let id = row.text("order_id"), let at = row.text("at").flatMap({ Timestamp($0) }) else {
                    continue
                }
                last[id] = max(last[id] ?? .min, at.milliseconds)
            }
        }
        var waits: [Int64] = []
        for try await entry in broker.history(of: .orders) {
            guard let event = try? entry.event(), event.type == OrderPlaced.eventType,
                let id = event.partitionKey,
                let end = last.removeValue(forKey: id)  // the first entry of an order counts
            else { continue }
            waits.append(max(0, end - Int64(entry.id.milliseconds)))
        }
        waits.sort()
        func percentile(_ share: Double) -> Int {
            waits.isEmpty ? 0 : Int(waits[min(waits.count - 1, Int(Double(waits.count) * share))])
        }
        return Summary.Latency(p50: percentile(0.50), p99: percentile(0.99))
    }

    private func length(_ key: String) async throws -> Int {
        try await broker.client.send(.xlen(key))
    }

    private static func count(_ query: String, in database: any Records) async throws -> Int {
        Int(try await database.read { try $0.query(query) }.first?.integer("n") ?? 0)
    }
}
