internal import Freshet
internal import Hiredis

/// How far a replay has come, kept beside what it puts there: in one transaction with it, so that a process that dies at any
/// moment leaves no gap and repeats nothing.
///
/// Each partition that is written to has a hash, with the last entry of each partition that was read, for each run of the
/// replay. What counts is the furthest: a process that was frozen, and writes once more after another has taken over, can repeat
/// its one batch, and moves nobody back.
struct Checkpoints {
    private let plan: ReplayPlan
    private let broker: Broker
    private let run: String
    /// The hashes' keys, by the partition that is written to.
    private let keys: [String]
    /// The last entry of each partition read (second) that stands in each partition written to (first).
    private var placed: [Int: [Int: StreamID]] = [:]
    /// How many were put there, by all runs.
    private(set) var count = 0

    init(_ plan: ReplayPlan, to topic: Topic, run: String, on broker: Broker) async throws(FreshetError) {
        (self.plan, self.broker, self.run) = (plan, broker, run)
        keys = (0..<topic.partitions).map { broker.keys(topic.name, $0).replayed(plan.id) }
        try await load()
    }

    /// Reads what there is, after a connection broke.
    mutating func load() async throws(FreshetError) {
        count = 0
        for (target, key) in keys.enumerated() {
            let fields = try await broker.send(RedisCommand("HGETALL", key)).array.map(Array.init) ?? []
            for index in stride(from: 0, to: fields.count - 1, by: 2) {
                guard let name = fields[index].string else { continue }
                if name == "count" {
                    count += fields[index + 1].integer ?? 0
                } else if let source = name.split(separator: " ").first.flatMap({ Int($0) }),
                    let id = fields[index + 1].string.flatMap({ StreamID($0) })
                {
                    placed[target, default: [:]][source] = max(placed[target]?[source] ?? .zero, id)
                }
            }
        }
    }

    /// Whether this entry stands in the partition that it goes to.
    func has(_ id: StreamID, of source: Int, in target: Int) -> Bool {
        placed[target]?[source].map { id <= $0 } ?? false
    }

    /// The last entry of a partition up to which every partition has what it is to have, when only one is written to.
    func position(of source: Int, in target: Int) -> StreamID? { placed[target]?[source] }

    /// Appends what says that all up to this entry stands there, to the transaction that puts it there.
    func append(
        to pipeline: inout RedisPipeline, _ last: StreamID, of source: Int, in target: Int, adding number: Int
    ) {
        pipeline.append("HSET", keys[target], "\(source) \(run)", last.description)
        pipeline.append("HINCRBY", keys[target], "count", number)
        pipeline.append("EXPIRE", keys[target], 90 * 86_400)
    }

    /// The transaction has been done.
    mutating func note(_ last: StreamID, of source: Int, in target: Int, adding number: Int) {
        placed[target, default: [:]][source] = max(placed[target]?[source] ?? .zero, last)
        count += number
    }

    /// Forgets everything: the replay is over.
    func remove() async throws(FreshetError) {
        for key in keys { _ = try await broker.send(RedisCommand("DEL", key)) }
    }
}
