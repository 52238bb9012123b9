internal import FoundationEssentials

/// One measurement, as both programs print it.
struct Sample: Codable, Sendable {
    let events: Int
    let seconds: Double
    /// User and system time of the process, for each event.
    let cpuMicros: Double
    /// The most that was resident at any time.
    let peakBytes: Int
    var p50Micros: Double?
    var p99Micros: Double?
    var p999Micros: Double?
    /// The same time by what it was spent on, of the work that says so.
    var spent: TimeSpent?

    func json() throws -> String {
        String(decoding: try JSONEncoder().encode(self), as: UTF8.self)
    }
}
