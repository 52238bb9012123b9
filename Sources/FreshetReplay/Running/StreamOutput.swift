internal import Freshet
internal import Hiredis

/// Puts a replay's events on a group's redelivery stream or another topic's log, each batch in one transaction with its checkpoint.
struct StreamOutput: ReplayOutput {
    private let plan: ReplayPlan
    private let broker: Broker
    private let topic: Topic
    private var checkpoints: Checkpoints
    /// Of a copy: the entries up to which every partition that is written to has what it is to have.
    private var passed: [Int: StreamID]
    /// How long a server that does not answer is waited for.
    private static let patience = Duration.seconds(15)

    init(_ plan: ReplayPlan, run: String, on broker: Broker) async throws {
        (self.plan, self.broker) = (plan, broker)
        topic = try await broker.existingTopic(plan.target.topic ?? plan.topic)
        checkpoints = try await Checkpoints(plan, to: topic, run: run, on: broker)
        passed = try await broker.savedPositions(of: plan)
    }

    var count: Int { checkpoints.count }

    var positions: [Int: StreamID] {
        guard plan.target.kind == .group else { return passed }
        var positions: [Int: StreamID] = [:]
        for part in plan.parts {
            positions[part.partition] = checkpoints.position(of: part.partition, in: part.partition)
        }
        return positions
    }

    mutating func save() async throws {
        if plan.target.kind == .topic { try await broker.save(passed, of: plan) }
    }

    mutating func finish() async throws { try await checkpoints.remove() }

    /// Puts these there, unless they are; returns how many were put by this call. Waits a while for a server that is away: what was sent
    /// and not answered is looked for first.
    mutating func put(_ entries: ArraySlice<StreamEntry>, of source: Int) async throws -> Int {
        guard plan.target.kind == .topic else { return try await put(entries, of: source, in: source) }
        var byTarget: [Int: [StreamEntry]] = [:]
        for entry in entries where entry.hasContent {
            let key = entry.field("partitionkey") ?? entry.field("id")
            byTarget[topic.partition(ofKey: key?.string ?? ""), default: []].append(entry)
        }
        var count = 0
        for (target, entries) in byTarget.sorted(by: { $0.key < $1.key }) {
            count += try await put(entries[...], of: source, in: target)
        }
        passed[source] = entries.last?.id ?? passed[source]
        return count
    }

    func transaction(putting entries: ArraySlice<StreamEntry>, of source: Int) -> RedisPipeline? {
        guard plan.target.kind == .group, !entries.isEmpty else { return nil }
        return transaction(putting: entries, of: source, in: source)
    }

    mutating func put(_ batch: ReplayBatch) async throws {
        guard let transaction = batch.transaction else {
            _ = try await put(batch.entries, of: batch.partition)
            return
        }
        _ = try await put(batch.entries, of: batch.partition, in: batch.partition, transaction)
    }

    /// - Parameter transaction: what puts all of them.
    private mutating func put(
        _ entries: ArraySlice<StreamEntry>, of source: Int, in target: Int,
        _ transaction: RedisPipeline? = nil
    ) async throws -> Int {
        let deadline = ContinuousClock.now + Self.patience
        while true {
            // They come in the order of their ids.
            let missing = entries.drop { checkpoints.has($0.id, of: source, in: target) }
            guard let last = missing.last?.id else { return 0 }
            let prepared = missing.count == entries.count ? transaction : nil
            do {
                try await send(prepared ?? self.transaction(putting: missing, of: source, in: target))
                checkpoints.note(last, of: source, in: target, adding: missing.count)
                return missing.count
            } catch {
                guard error.mayHaveRun || error.isRetryable, .now < deadline else { throw error }
                try await Task.sleep(for: .milliseconds(200))
                // What the broken connection sent, and the server has not read, must not come behind the look.
                try? await broker.client.endLostConnections(
                    forKey: broker.keys(topic.name, target).events)
                try await reload(until: deadline)
            }
        }
    }

    private mutating func reload(until deadline: ContinuousClock.Instant) async throws {
        while true {
            do throws(FreshetError) { return try await checkpoints.load() } catch {
                guard error.isRetryable || error.mayHaveRun, .now < deadline else { throw error }
                try? await Task.sleep(for: .milliseconds(200))
            }
        }
    }

    private func transaction(
        putting entries: ArraySlice<StreamEntry>, of source: Int, in target: Int
    ) -> RedisPipeline {
        let keys = broker.keys(topic.name, target)
        let group = plan.target.group
        let stream = group.map { keys.redelivery($0) } ?? keys.events
        var pipeline = RedisPipeline()
        pipeline.append("MULTI")
        for entry in entries {
            pipeline.appendCopy(of: entry, to: stream, replay: group == nil ? nil : plan.id)
        }
        checkpoints.append(
            to: &pipeline, entries.last?.id ?? .zero, of: source, in: target, adding: entries.count)
        pipeline.append("EXEC")
        return pipeline
    }

    private func send(_ transaction: RedisPipeline) async throws(FreshetError) {
        do throws(RedisError) {
            var result: RedisReply?
            for reply in try await broker.client.send(transaction) { result = try reply.get() }
            guard let results = result?.array else {
                throw RedisError(.unexpectedReply, "EXEC without results")
            }
            for reply in results { try reply.get() }
        } catch { throw FreshetError(error) }
    }
}
