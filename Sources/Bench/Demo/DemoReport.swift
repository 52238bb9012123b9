internal import FoundationEssentials

/// The result of `bench demo`: the rates' median, and the times of the round that had it.
struct DemoReport: Encodable, Sendable {
    struct Process: Encodable, Sendable {
        let name: String
        let cpuSeconds: Double
        /// Of a worker; nil of other programs.
        let spent: TimeSpent?
    }

    let orders: Int
    let seconds: Double
    let ordersPerSecond: Double
    let slowest: Double
    let fastest: Double
    let processes: [Process]

    /// - Parameter rounds: at least one.
    init(_ rounds: [DemoRound.Result]) throws {
        let sorted = rounds.sorted { $0.summary.seconds < $1.summary.seconds }
        let middle = sorted[(sorted.count - 1) / 2]
        let rates = sorted.map { Double($0.summary.placed) / $0.summary.seconds }
        (orders, seconds) = (middle.summary.placed, middle.summary.seconds.rounded(places: 3))
        ordersPerSecond = median(rates).rounded()
        (slowest, fastest) = ((rates.min() ?? 0).rounded(), (rates.max() ?? 0).rounded())
        let payloads = try ShopPayloads(of: middle.summary)
        let watch = middle.processes
        let workers = [
            ("order-worker", payloads.order), ("customer-worker", payloads.customer),
            ("payment-worker", payloads.payment),
        ].map { name, json in
            let threads = watch.threads(of: name)
            return Process(
                name: name, cpuSeconds: threads.total.rounded(places: 2),
                spent: TimeSpent(
                    medianOf: [TimeSpent(threads, decoding: json.decoding, encoding: json.encoding)]))
        }
        let others = ["shop", "redis-server", "postgres"].map {
            Process(name: $0, cpuSeconds: watch.seconds(of: $0).rounded(places: 2), spent: nil)
        }
        processes = workers + others.filter { $0.cpuSeconds > 0 }
    }

    func json() throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys]
        return String(decoding: try encoder.encode(self), as: UTF8.self)
    }

    var table: String {
        var table = TextTable(["process", "CPU s", "SQL", "JSON", "Redis and delivery", "other"])
        for process in processes {
            let shares = [\TimeSpent.sql, \.json, \.redis, \.other].map { process.spent?.share($0) ?? "" }
            table.add([process.name, process.cpuSeconds.text(places: 2)] + shares)
        }
        return """
            \(orders) orders in \(seconds.text(places: 2)) s: \(Int(ordersPerSecond)) orders/s \
            (slowest \(Int(slowest)), fastest \(Int(fastest)))

            \(table.text)
            """
    }
}
