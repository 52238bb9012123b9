import FoundationEssentials
import Freshet
import FreshetReplay
import FreshetTesting
import Hiredis
import Synchronization
import Testing

/// A server that is killed and comes back from an older snapshot while a replay is under way: what a failover
/// to a replica that lags does.
@Suite struct LossTests {
    private let tester = Operator("tester", reason: "a test")
    private static let count = 5000

    /// Runs a plan, and has the server lose what was put since a snapshot, three times at random moments.
    ///
    /// - Parameters:
    ///   - isForgotten: whether the first snapshot is from before the replay was planned.
    ///   - length: how many events are where they go.
    private func run(
        _ plan: ReplayPlan, _ rig: Rig, isForgotten: Bool = false, length: @escaping () async throws -> Int
    ) async throws -> ReplayJob {
        let seed = UInt64.random(in: 0 ... .max)
        print("seed \(seed)")
        var random = Seeded(seed)
        let (broker, tester) = (rig.broker, tester)
        if isForgotten { try await rig.redis("SAVE") }
        let job = try await broker.save(plan, by: tester)
        let run = Task { try await ReplayRun.run(job, by: tester, on: broker) }
        var losses = 0
        // Not near the end: what is lost after it nobody puts again.
        while losses < 3, try await length() < plan.selected.count / 2 {
            let before = try await length()
            func grows(by few: Int) async throws {
                do {
                    try await eventually("it goes on", within: .seconds(60)) {
                        try await length() >= before + few
                    }
                } catch {
                    let job = try await broker.replay(job.id)
                    throw Unexpected(description: "\(error): it is \(job.state), \(job.done), \(job.note)")
                }
            }
            try await grows(by: 100 + random.next(below: 200))
            if !isForgotten || losses > 0 { try await rig.redis("SAVE") }
            try await grows(by: 400 + random.next(below: 400))
            await rig.server.kill()
            try await rig.server.start()
            losses += 1
        }
        #expect(losses > 0)
        let ended = try await run.value
        #expect(ended.state == .done && ended.note.isEmpty, "\(ended.note)")
        #expect(ended.done == plan.selected.count)
        #expect(try await broker.replay(job.id).state == .done)
        #expect(try await rig.redis("KEYS", "test:replayed:*").array?.count == 0, "nothing is left over")
        return ended
    }

    @Test(arguments: [false, true])
    func `events that a server loses are redelivered again`(isForgotten: Bool) async throws {
        try await Rig.with { rig in
            for partition in 0..<2 {
                let first = 1 + partition * Self.count / 2
                try await rig.publish(first..<first + Self.count / 2, partition: partition)
            }
            try await rig.createGroup(partitions: 2)
            let plan = try await rig.redeliver { $0.pace.rate = 600 }
            let ended = try await run(plan, rig, isForgotten: isForgotten) {
                try await rig.length(rig.redelivery(0)) + rig.length(rig.redelivery(1))
            }
            #expect(ended.lost > 0)
            for partition in 0..<2 {
                let log = try await rig.client.send(.xrange(rig.keys(partition).events)).map(\.id)
                #expect(try await rig.ids(rig.redelivery(partition)) == log)
            }
            let actions = try await rig.broker.auditRecords(last: 100).map(\.action)
            #expect(actions.contains("replay.again"))
        }
    }

    @Test func `at full speed, too`() async throws {
        try await Rig.with { rig in
            let count = 120_000
            for first in stride(from: 1, through: count, by: 10_000) {
                try await rig.publish(first..<first + 10_000)
            }
            try await rig.createGroup()
            let plan = try await rig.redeliver()
            let (broker, tester) = (rig.broker, tester)
            let job = try await broker.save(plan, by: tester)
            let run = Task { try await ReplayRun.run(job, by: tester, on: broker) }
            func length() async throws -> Int { try await rig.redis("XLEN", rig.redelivery()).integer ?? 0 }
            try await eventually("it has begun") { try await length() > 1000 }
            try await rig.redis("SAVE")
            let before = try await length()
            try await eventually("it goes on") { try await length() > before }
            await rig.server.kill()
            try await rig.server.start()
            let ended = try await run.value
            #expect(ended.state == .done && ended.done == count && ended.note.isEmpty, "\(ended)")
            #expect(try await rig.ids(rig.redelivery()) == (1...count).map { id(UInt64($0)) })
        }
    }

    @Test func `a copy to another topic has what a server lost`() async throws {
        try await Rig.with { rig in
            try await rig.publish(1...Self.count)
            let copy = Topic("copy", partitions: 3)
            try await rig.broker.declare(TopicDeclaration(copy))
            var request = ReplayRequest(topic: "orders", to: .topic("copy"))
            request.pace.rate = 600
            func copied() async throws -> [Int] {
                var numbers: [Int] = []
                for try await entry in rig.broker.history(of: copy) {
                    numbers.append(Int(entry.field("id")?.string.dropFirst() ?? "") ?? 0)
                }
                return numbers
            }
            _ = try await run(try await rig.broker.plan(request), rig) {
                var sum = 0
                for partition in 0..<3 {
                    sum += try await rig.length(rig.broker.keys("copy", partition).events)
                }
                return sum
            }
            #expect(try await copied().sorted() == Array(1...Self.count), "all, and none twice")
            for partition in 0..<3 {
                let entries = try await rig.client.send(.xrange(rig.broker.keys("copy", partition).events))
                let numbers = entries.map { Int($0.field("id")?.string.dropFirst() ?? "") ?? 0 }
                #expect(numbers == numbers.sorted())
            }
        }
    }

    @Test func `dead letters whose move was lost are moved again`() async throws {
        try await Rig.with { rig in
            try await rig.createGroup()
            var pipeline = RedisPipeline()
            for number in 1...Self.count {
                pipeline.append(
                    "XADD", rig.keys().dead("payment"), "\(number)-0", "specversion", "1.0", "id",
                    "e\(number)", "source", "till", "type", number % 2 == 0 ? "even" : "odd",
                    "freshetoriginalid", "\(number)-0", "freshetattempt", "5", "data", "{}")
            }
            for reply in try await rig.client.send(pipeline) { try reply.get() }
            let plan = try await rig.redeliver(types: ["even"]) { request in
                request.source = .dead
                request.pace.rate = 400
            }
            #expect(plan.selected.count == Self.count / 2)
            let ended = try await run(plan, rig) { try await rig.length(rig.redelivery()) }
            #expect(ended.lost > 0)
            let moved = try await rig.ids(rig.redelivery()).compactMap { $0 }
            #expect(moved.sorted() == stride(from: 2, through: Self.count, by: 2).map { id(UInt64($0)) })
            #expect(try await rig.redis("XLEN", rig.keys().dead("payment")).integer == Self.count / 2)
        }
    }

    @Test func `a file is whole`() async throws {
        try await Rig.with { rig in
            try await rig.publish(1...Self.count)
            let path = "\(rig.server.folder)/out.ndjson"
            var request = ReplayRequest(topic: "orders", to: .file(path))
            // It is written in pieces, twice a second.
            request.pace.rate = 600
            func lines() -> [Substring] {
                ((try? String(contentsOfFile: path, encoding: .utf8)) ?? "").split(separator: "\n")
            }
            _ = try await run(try await rig.broker.plan(request), rig) { lines().count }
            let entries = try lines().map { try HistoryLine(decoding: Array($0.utf8)) }
            #expect(entries.map(\.entry.id) == (1...Self.count).map { id(UInt64($0)) })
        }
    }

    /// Runs the body, and has the server lose what it did since a snapshot: on its way once there is one.
    private func losing(
        _ rig: Rig, _ body: @escaping @Sendable (@escaping @Sendable (Int) -> Bool) async throws -> Void
    ) async throws {
        let (hasBegun, isSaved, isFrozen) = (Flag(), Flag(), Flag())
        let server = rig.server
        let run = Task {
            try await body { count in
                if count > 5000 { hasBegun.raise() }
                // Whoever is frozen has lost nothing yet; what it is sent is lost with it.
                if count > 20_000, isSaved.isRaised, !isFrozen.isRaised {
                    isFrozen.raise()
                    server.pause()
                }
                return true
            }
        }
        try await eventually("it has begun", within: .seconds(60)) { hasBegun.isRaised }
        try await rig.redis("SAVE")
        isSaved.raise()
        try await eventually("it went on", within: .seconds(60)) { isFrozen.isRaised }
        await server.kill()
        try await server.start()
        try await run.value
    }

    @Test func `a rewind that a server lost is made again, and is on record`() async throws {
        try await Rig.with { rig in
            try await rig.publish(1...100)
            try await rig.createGroup(partitions: 2)
            _ = try await rig.read(100)
            let rewind = try await Rewind(
                topic: "orders", group: "payment", to: .id(id(50)), on: rig.broker)
            let moves = try await rewind.plan()
            try await rig.redis("SAVE")
            let (broker, server, isFrozen) = (rig.broker, rig.server, Flag())
            let run = Task {
                try await broker.perform(
                    rewind, moves, topic: "orders", group: "payment", by: Operator("tester"),
                    onMove: { move in
                        guard move.partition == 1 else { return }
                        isFrozen.raise()
                        server.pause()
                    }
                ).record.id
            }
            try await eventually("it is on its way", within: .seconds(60)) { isFrozen.isRaised }
            await rig.server.kill()
            try await rig.server.start()
            let record = try await broker.rewindRecord(run.value)
            #expect(record.moves.count == 2)
            #expect(try await rig.read(100).first == id(50))
        }
    }

    @Test func `a topic is restored whole`() async throws {
        try await Rig.withTwo { rig, other in
            for first in stride(from: 1, through: 150_000, by: 10_000) {
                try await rig.publish(first..<first + 10_000)
            }
            try await rig.createGroup()
            _ = try await rig.read(500)
            try await rig.redis("XADD", rig.keys().dead("payment"), "7-0", "id", "e7", "type", "odd")
            try await rig.pass(segment: 40_000)
            let (archive, broker) = (try rig.archive, other.broker)
            try await losing(other) { onProgress in
                let restoration = try await Restoration(of: "orders", from: archive, on: broker)
                _ = try await restoration.run(onProgress: onProgress)
            }
            #expect(try await other.numbers(rig.keys().events) == rig.numbers(rig.keys().events))
            #expect(try await other.ids(rig.keys().events).count == 150_000)
            #expect(try await other.redis("XLEN", rig.keys().dead("payment")).integer == 1)
            #expect(try await other.broker.groups(of: rig.topic()) == ["payment"])
            #expect(try await other.redis("HEXISTS", "test:topic:{orders}", "restoring").integer == 0)
        }
    }

    @Test func `a range is published anew, whole`() async throws {
        try await Rig.with { rig in
            for first in stride(from: 1, through: 60_000, by: 10_000) {
                try await rig.publish(first..<first + 10_000)
            }
            try await rig.pass(segment: 20_000)
            try await rig.broker.declare(TopicDeclaration(Topic("again")))
            let (archive, broker) = (try rig.archive, rig.broker)
            let lost = Record<Int>()
            try await losing(rig) { onProgress in
                let republication = try await Republication(
                    of: "orders", from: archive, to: "again", in: (.start, .end), on: broker)
                lost.add(try await republication.run(onProgress: onProgress).lost)
            }
            var numbers: [Int] = []
            for try await entry in rig.broker.entries(of: rig.broker.keys("again", 0).events) {
                numbers.append(Int(entry.field("id")?.string.dropFirst() ?? "") ?? 0)
            }
            #expect(numbers == Array(1...60_000))
            #expect(lost.all.count == 1 && (lost.all.first ?? 0) > 0)
        }
    }
}

extension Rig {
    fileprivate func length(_ key: String) async throws -> Int { try await redis("XLEN", key).integer ?? 0 }
}

private final class Flag: Sendable {
    private let value = Atomic(false)
    var isRaised: Bool { value.load(ordering: .acquiring) }
    func raise() { value.store(true, ordering: .releasing) }
}

/// Random numbers that a seed brings back.
private struct Seeded {
    private var state: UInt64

    init(_ seed: UInt64) { state = seed }

    mutating func next(below bound: Int) -> Int {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return Int((state >> 33) % UInt64(bound))
    }
}
