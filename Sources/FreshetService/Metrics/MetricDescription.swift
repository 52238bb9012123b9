/// What is said of a metric beside its numbers.
public struct MetricDescription: Sendable {
    /// What it counts or measures, and who sets it.
    enum Origin: Sendable {
        /// Each process, as it happens.
        case process
        /// A look at the groups, now and then.
        case poll
        /// The program's own.
        case program
    }

    /// Its name, as it is exported.
    public let name: String
    /// What it is, in a sentence.
    public let help: String
    /// The largest value of each bucket of a histogram, rising; nil for the usual ones.
    public let buckets: [Double]?
    let kind: MetricKind?
    let labels: [String]
    let origin: Origin

    /// Describes a metric of the program's own.
    public init(_ name: String, _ help: String, buckets: [Double]? = nil) {
        self.init(name, nil, [], .program, help, buckets)
    }

    init(
        _ name: String, _ kind: MetricKind?, _ labels: [String], _ origin: Origin, _ help: String,
        _ buckets: [Double]? = nil
    ) {
        self.name = name
        self.kind = kind
        self.labels = labels
        self.origin = origin
        self.help = help
        self.buckets = buckets
    }
}
