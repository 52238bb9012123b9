internal import Freshet
internal import Hiredis

/// Where a replay's events go. It remembers what it has, so that another process can go on after this one died.
protocol ReplayOutput: Sendable {
    /// How many events it has been given, by all runs of the replay.
    var count: Int { get }
    /// The entry of each partition up to which nothing has to be read again.
    var positions: [Int: StreamID] { get }
    /// Puts entries of one partition there, unless they are; returns how many were put by this call.
    mutating func put(_ entries: ArraySlice<StreamEntry>, of source: Int) async throws -> Int
    /// What puts these there when none of them is; nil when that cannot be said beforehand.
    func transaction(putting entries: ArraySlice<StreamEntry>, of source: Int) -> RedisPipeline?
    /// Puts a batch there, unless it is.
    mutating func put(_ batch: ReplayBatch) async throws
    /// Makes what was put durable; called now and then.
    mutating func save() async throws
    /// The replay is over, and nothing has to be remembered.
    mutating func finish() async throws
}

extension ReplayOutput {
    func transaction(putting entries: ArraySlice<StreamEntry>, of source: Int) -> RedisPipeline? { nil }

    mutating func put(_ batch: ReplayBatch) async throws {
        _ = try await put(batch.entries, of: batch.partition)
    }

    /// What it is after it was given these.
    func putting(_ batch: ReplayBatch) async throws -> any ReplayOutput {
        var output = self
        try await output.put(batch)
        return output
    }
}

extension Broker {
    func output(of plan: ReplayPlan, run: String) async throws -> any ReplayOutput {
        if plan.source.kind == .dead { return try await DeadLetterOutput(plan, on: self) }
        if let path = plan.target.file { return try await FileOutput(plan, to: path, on: self) }
        return try await StreamOutput(plan, run: run, on: self)
    }

    /// Positions that a run has left behind in the replay's hash, by partition.
    func savedPositions(of plan: ReplayPlan) async throws(FreshetError) -> [Int: StreamID] {
        var positions: [Int: StreamID] = [:]
        for part in plan.parts {
            let field = "at:\(part.partition)"
            let text = try await send(RedisCommand("HGET", namespace.replayKey(plan.id), field)).string
            positions[part.partition] = text.flatMap { StreamID($0) }
        }
        return positions
    }

    func save(_ positions: [Int: StreamID], of plan: ReplayPlan, _ more: [String: String] = [:])
        async throws(FreshetError)
    {
        var fields = more
        for (partition, id) in positions { fields["at:\(partition)"] = id.description }
        if !fields.isEmpty { try await update(plan, fields) }
    }
}

/// Moves dead letters back: each leaves its stream as it joins the redelivery stream, so there is nothing else to remember.
struct DeadLetterOutput: ReplayOutput {
    private let plan: ReplayPlan
    private let group: GroupName
    private let topic: Topic
    private let broker: Broker
    private(set) var count: Int

    init(_ plan: ReplayPlan, on broker: Broker) async throws {
        guard let group = plan.target.group else {
            throw FreshetError(.refused, "dead letters go to their own group")
        }
        (self.plan, self.group, self.broker) = (plan, group, broker)
        topic = try await broker.existingTopic(plan.topic)
        count = try await broker.replay(plan.id).done
    }

    var positions: [Int: StreamID] { [:] }

    mutating func put(_ entries: ArraySlice<StreamEntry>, of source: Int) async throws -> Int {
        let moved = try await broker.retryDeadLetters(
            .these(entries.map { DeadLetter($0, partition: source) }), of: group, topic: topic,
            replay: plan.id)
        count += moved
        return moved
    }

    mutating func save() async throws {}
    mutating func finish() async throws {}
}
