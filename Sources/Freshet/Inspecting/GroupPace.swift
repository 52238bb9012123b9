/// How fast events came to a group and were settled, between two looks.
public struct GroupPace: Sendable {
    /// What became of one partition's events meanwhile.
    public struct Flow: Sendable {
        /// How many came: to the log, and to be seen again (retries that were due, replays).
        public let added: Int
        /// How many attempts ended: acknowledged, given up, set aside, or put off for a retry.
        public let settled: Int

        /// A partition's flow.
        public init(added: Int, settled: Int) { (self.added, self.settled) = (added, settled) }
    }

    /// The time between the looks, by the server's clock.
    public let seconds: Double
    /// The flow of each partition.
    public let partitions: [Flow]

    /// A pace.
    public init(seconds: Double, partitions: [Flow]) {
        (self.seconds, self.partitions) = (seconds, partitions)
    }

    /// How many events came in a second.
    public var inPerSecond: Double { Double(partitions.reduce(0) { $0 + $1.added }) / seconds }
    /// How many attempts ended in a second.
    public var outPerSecond: Double { Double(partitions.reduce(0) { $0 + $1.settled }) / seconds }
}
