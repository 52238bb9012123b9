internal import Freshet
internal import Hiredis

/// Puts a replay's events on a group's redelivery stream or another topic's log, each batch in one step with
/// its checkpoint.
struct StreamOutput: ReplayOutput {
    private let plan: ReplayPlan
    private let topic: Topic
    private var checkpoints: Checkpoints
    /// The last entry of each partition that was read and put.
    private var passed: [Int: StreamID] = [:]
    private(set) var lost = 0

    init(_ plan: ReplayPlan, on broker: Broker) async throws {
        self.plan = plan
        topic = try await broker.existingTopic(plan.target.topic ?? plan.topic)
        checkpoints = try await Checkpoints(plan.id, to: topic, plan.target.group, on: broker)
        notePositions()
    }

    var count: Int { checkpoints.count }

    var positions: [Int: StreamID] { passed }

    private mutating func notePositions() {
        passed = [:]
        for source in plan.parts.map(\.partition) {
            passed[source] =
                plan.target.kind == .group
                ? checkpoints.mark(of: source, in: source) : checkpoints.position(of: source)
        }
    }

    mutating func save() async throws {
        guard plan.target.kind == .group else { return try await checkpoints.advance(passed) }
        for (source, id) in passed { try await checkpoints.advance([source: id], in: source) }
    }

    mutating func recover() async throws {
        let before = checkpoints.count
        try await checkpoints.load()
        lost += max(0, before - checkpoints.count)
        notePositions()
    }

    mutating func finish() async throws { try await checkpoints.remove() }

    mutating func put(_ entries: ArraySlice<StreamEntry>, of source: Int) async throws -> Int {
        guard plan.target.kind == .topic else {
            let count = try await checkpoints.put(entries, of: source, in: source)
            passed[source] = checkpoints.mark(of: source, in: source)
            return count
        }
        var byTarget: [Int: [StreamEntry]] = [:]
        for entry in entries where entry.hasContent {
            let key = entry.field("partitionkey") ?? entry.field("id")
            byTarget[topic.partition(ofKey: key?.string ?? ""), default: []].append(entry)
        }
        var count = 0
        for (target, entries) in byTarget.sorted(by: { $0.key < $1.key }) {
            count += try await checkpoints.put(entries[...], of: source, in: target)
        }
        passed[source] = entries.last?.id ?? passed[source]
        return count
    }

    func call(putting entries: ArraySlice<StreamEntry>, of source: Int, behind mark: StreamID?)
        -> RedisPipeline?
    {
        guard plan.target.kind == .group else { return nil }
        return checkpoints.call(putting: entries, of: source, in: source, behind: mark)
    }

    mutating func put(_ batch: ReplayBatch) async throws {
        let source = batch.partition
        guard let call = batch.call, checkpoints.mark(of: source, in: source) == batch.mark else {
            _ = try await put(batch.entries, of: source)
            return
        }
        _ = try await checkpoints.put(batch.entries, of: source, in: source, by: call)
        passed[source] = checkpoints.mark(of: source, in: source)
    }
}
