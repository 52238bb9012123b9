import Freshet
import FreshetTesting
import Glibc
import Hiredis
import Testing

@Suite struct ReplayKillTests {
    private struct Planned: Decodable { let id: String }
    private struct Ended: Decodable {
        let state: String
        let done: Int
    }

    @Test func `a replay that is killed at 20 random moments and resumed brings every event once`()
        async throws
    {
        try await Rig.with { rig in
            let seed = UInt64.random(in: 0 ... .max)
            print("seed \(seed)")
            var moments = SeededMoments(seed)
            let count = 40_000
            for first in stride(from: 1, through: count, by: 5_000) {
                try await rig.publish(first..<first + 5_000, partition: first / 5_000 % 2)
            }
            for partition in 0..<2 { try await rig.createGroup(partition: partition) }
            let planned = try await rig.start(
                "replay",
                [
                    "plan", "--topic", "orders", "--group", "payment", "--from", "start", "--rate", "8000",
                    "--max-waiting",
                    "none",
                ]
                    + ["--format", "json"]
            ).outcome().json(Planned.self)
            var kills = 0
            while kills < 20 {
                let run = try rig.start("replay", [kills == 0 ? "start" : "resume", planned.id])
                let before = try await rig.total()
                try await eventually("it goes on") {
                    try await rig.total() > before || run.child.ending != nil
                }
                try await Task.sleep(for: .milliseconds(moments.next(below: 150)))
                #expect(run.child.ending == nil, "\(run.errors)")
                run.child.signal(SIGKILL)
                _ = await run.outcome()
                kills += 1
            }
            #expect(try await rig.total() < count, "the kills came in time")
            let status = try await rig.run("replay", "status", planned.id, "--format", "json")
            struct Status: Decodable { let state, note: String }
            #expect(try status.json(Status.self).state == "stopped")
            #expect(try status.json(Status.self).note.contains("replay resume"))
            let last = try await rig.run("replay", "resume", planned.id, "--format", "json")
            let ended = try last.json(Ended.self)
            #expect(last.exitCode == 0 && ended.state == "done" && ended.done == count, "\(last.errors)")
            for partition in 0..<2 {
                func ids(_ stream: String, _ id: (StreamEntry) -> StreamID?) async throws -> [StreamID?] {
                    var ids: [StreamID?] = []
                    for try await entry in rig.broker.entries(of: stream) { ids.append(id(entry)) }
                    return ids
                }
                let keys = rig.broker.keys("orders", partition)
                let log = try await ids(keys.events) { $0.id }
                #expect(try await ids(keys.redelivery("payment")) { $0.originalID } == log)
            }
        }
    }
}

extension Rig {
    fileprivate func total() async throws -> Int {
        var total = 0
        for partition in 0..<2 {
            total += try await length(broker.keys("orders", partition).redelivery("payment"))
        }
        return total
    }
}

/// Random numbers that a seed brings back.
struct SeededMoments: Sendable {
    private var state: UInt64

    init(_ seed: UInt64) { state = seed }

    mutating func next(below bound: Int) -> Int {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return Int((state >> 33) % UInt64(bound))
    }
}
