/// One side of a row: the median of each figure over all rounds.
struct Figures: Encodable, Sendable {
    let eventsPerSecond: Double
    let cpuMicros: Double
    let peakBytes: Int
    let p50Micros: Double?
    let p99Micros: Double?
    let p999Micros: Double?
    let spent: TimeSpent?

    init(medianOf samples: [Sample]) {
        eventsPerSecond = median(samples.map { Double($0.events) / $0.seconds }).rounded()
        cpuMicros = median(samples.map(\.cpuMicros)).rounded(places: 3)
        peakBytes = median(samples.map(\.peakBytes))
        let p50 = samples.compactMap(\.p50Micros)
        p50Micros = p50.isEmpty ? nil : median(p50).rounded(places: 1)
        let p99 = samples.compactMap(\.p99Micros)
        p99Micros = p99.isEmpty ? nil : median(p99).rounded(places: 1)
        let p999 = samples.compactMap(\.p999Micros)
        p999Micros = p999.isEmpty ? nil : median(p999).rounded(places: 1)
        spent = TimeSpent(medianOf: samples.compactMap(\.spent))
    }
}

/// The middle value; of an even number of values the lower of the two in the middle. There is at least one.
func median<Value: Comparable>(_ values: [Value]) -> Value {
    values.sorted()[(values.count - 1) / 2]
}

extension Double {
    func rounded(places: Int) -> Double {
        let scale = (0..<places).reduce(1.0) { scale, _ in scale * 10 }
        return (self * scale).rounded() / scale
    }
}
