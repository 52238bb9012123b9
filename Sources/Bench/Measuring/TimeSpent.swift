/// What CPU time was spent on, in any unit.
struct TimeSpent: Codable, Sendable {
    /// The database's threads.
    var sql: Double
    /// Decoding and encoding payloads: what it costs alone, times how often it was done.
    var json: Double
    /// The loop's thread otherwise: the client, and delivery.
    var redis: Double
    /// All else.
    var other: Double

    /// - Parameters:
    ///   - decoding: of JSON, which is done on the loop.
    ///   - encoding: of JSON, which is done within transactions.
    init(_ threads: ThreadTimes, decoding: Double, encoding: Double = 0) {
        sql = max(0, threads.database - encoding)
        json = decoding + encoding
        redis = max(0, threads.loop - decoding)
        other = threads.other
    }

    /// The median of each; nil when there is none.
    init?(medianOf samples: [TimeSpent]) {
        guard !samples.isEmpty else { return nil }
        sql = median(samples.map(\.sql)).rounded(places: 3)
        json = median(samples.map(\.json)).rounded(places: 3)
        redis = median(samples.map(\.redis)).rounded(places: 3)
        other = median(samples.map(\.other)).rounded(places: 3)
    }

    var total: Double { sql + json + redis + other }

    /// As a whole number of hundredths of all.
    func share(_ part: KeyPath<TimeSpent, Double>) -> String {
        total > 0 ? "\(Int((100 * self[keyPath: part] / total).rounded())) %" : ""
    }
}

extension TimeSpent: CustomStringConvertible {
    var description: String {
        "SQL \(share(\.sql)), JSON \(share(\.json)), Redis and delivery \(share(\.redis)), other \(share(\.other))"
    }
}
