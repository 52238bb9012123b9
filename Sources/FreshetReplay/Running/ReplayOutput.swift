internal import Freshet
internal import Hiredis

/// Where a replay's events go. It remembers what it has, so that another process can go on after this one
/// died, and it sees that a server has lost of it what it had said to have.
protocol ReplayOutput: Sendable {
    /// How many events it has been given, by all runs of the replay.
    var count: Int { get }
    /// How many of them the server lost meanwhile, so that they were put again, or will be.
    var lost: Int { get }
    /// The entry of each partition up to which nothing has to be read again.
    var positions: [Int: StreamID] { get }
    /// Puts entries of one partition there, unless they are; returns how many were put by this call. Throws
    /// `CheckpointMoved`, having put nothing, when what was put before is not there.
    mutating func put(_ entries: ArraySlice<StreamEntry>, of source: Int) async throws -> Int
    /// What puts these behind a mark, to be sent later; nil when that cannot be said beforehand.
    func call(putting entries: ArraySlice<StreamEntry>, of source: Int, behind mark: StreamID?)
        -> RedisPipeline?
    /// Puts a batch there, unless it is.
    mutating func put(_ batch: ReplayBatch) async throws
    /// Makes what was put durable; called now and then, and at the end. Throws `CheckpointMoved` when it is
    /// not there any more.
    mutating func save() async throws
    /// Learns anew what is there: the events behind `positions` are put again.
    mutating func recover() async throws
    /// The replay is over, and nothing has to be remembered.
    mutating func finish() async throws
}

extension ReplayOutput {
    func call(putting entries: ArraySlice<StreamEntry>, of source: Int, behind mark: StreamID?)
        -> RedisPipeline?
    { nil }

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
    func output(of plan: ReplayPlan, _ lock: ReplayLock) async throws -> any ReplayOutput {
        if plan.source.kind == .dead { return try await DeadLetterOutput(plan, on: self) }
        if let path = plan.target.file { return try await FileOutput(plan, to: path, lock, on: self) }
        return try await StreamOutput(plan, on: self)
    }
}

/// Moves dead letters back: each leaves its stream as it joins the redelivery stream, so there is nothing
/// else to remember, and what a server has lost of it is among the dead letters again.
struct DeadLetterOutput: ReplayOutput {
    private struct Place: Hashable {
        let partition: Int
        let id: StreamID
    }
    private let plan: ReplayPlan
    private let group: GroupName
    private let topic: Topic
    private let broker: Broker
    private(set) var count: Int
    private(set) var lost = 0
    /// Those that this run has moved.
    private var moved: Set<Place> = []

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
        let number = try await broker.retryDeadLetters(
            .these(entries.map { DeadLetter($0, partition: source) }), of: group, topic: topic,
            replay: plan.id)
        var again = 0
        for entry in entries where !moved.insert(Place(partition: source, id: entry.id)).inserted {
            again += 1
        }
        lost += min(again, number)
        count += max(0, number - again)
        return number
    }

    /// All that were to go have gone: one that is there was put back by a server that lost its last seconds.
    mutating func save() async throws {
        let reader = try await ReplayReader(plan, on: broker)
        for part in plan.parts {
            guard let range = part.range else { continue }
            var pages = try await reader.pages(ofPartition: part.partition, in: range)
            while let page = try await pages.next() {
                for entry in plan.filter.selected(of: page)
                where moved.contains(Place(partition: part.partition, id: entry.id)) {
                    throw CheckpointMoved()
                }
            }
        }
    }

    mutating func recover() async throws {}
    mutating func finish() async throws {}
}
