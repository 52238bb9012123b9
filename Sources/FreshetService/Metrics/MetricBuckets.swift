/// The largest values of histograms' buckets. Enough to tell a target from twice the target; each costs every scrape a line
/// for each topic and group.
enum MetricBuckets {
    /// What a handler takes.
    static let seconds = [
        0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60,
    ]
    /// What a request to a server takes.
    static let requests = [
        0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5,
    ]
    /// What an event waits: milliseconds while a group keeps up, hours when it does not.
    static let waits = [
        0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600,
        14_400,
    ]
    /// What is no time.
    static let numbers = [1.0, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000]
}
