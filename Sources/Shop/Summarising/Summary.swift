/// How a run of the shop went. As JSON it has exactly these keys.
struct Summary: Codable, Sendable, Equatable {
    struct Orders: Codable, Sendable, Equatable {
        var placed = 0
        var confirmed = 0
        var cancelled = 0
    }
    struct Sum: Codable, Sendable, Equatable {
        var count = 0
        var minor: Int64 = 0
    }
    struct Payments: Codable, Sendable, Equatable {
        var captured = Sum()
        var declined = Sum()
    }
    struct Latency: Codable, Sendable, Equatable {
        var p50 = 0
        var p99 = 0
    }

    /// Orders published by this run.
    var placed = 0
    /// Orders by their status now; `placed` are those not decided yet.
    var orders = Orders()
    var customers = 0
    var payments = Payments()
    var dead = 0
    var invalid = 0
    /// From the first order placed to the last event settled.
    var seconds = 0.0
    /// Events handled by all services (each in a transaction of its own), for each of these seconds.
    var eventsPerSecond = 0
    /// From an order's arrival in the log to the last record written for it, in milliseconds.
    var latencyMs = Latency()
}

extension Summary {
    /// For people.
    var table: String {
        """
        orders placed       \(placed)
          confirmed         \(orders.confirmed)
          cancelled         \(orders.cancelled)
          undecided         \(orders.placed)
        customers           \(customers)
        payments captured   \(payments.captured.count)  (\(Self.decimal(payments.captured.minor)))
        payments declined   \(payments.declined.count)  (\(Self.decimal(payments.declined.minor)))
        dead letters        \(dead)
        invalid events      \(invalid)
        seconds             \(Self.decimal(Int64((seconds * 100).rounded())))
        events per second   \(eventsPerSecond)
        latency p50 / p99   \(latencyMs.p50) / \(latencyMs.p99) ms
        """
    }

    private static func decimal(_ hundredths: Int64) -> String {
        let cents = abs(hundredths % 100)
        return "\(hundredths / 100).\(cents < 10 ? "0" : "")\(cents)"
    }
}
