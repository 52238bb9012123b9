import Freshet
import FreshetTesting
import Hiredis
import Synchronization
import Testing

@testable import FreshetReplay

@Suite struct GroupWatchTests {
    @Test func `a replay is slowed while what comes in by itself waits longer and longer`() async throws {
        try await Rig.with { rig in
            try await rig.createGroup()
            var limits = ReplayLimits()
            limits.errorRate = nil
            var watch = GroupWatch(
                "payment", Topic("orders"), limits, emptiesDeadLetters: false, on: rig.broker)
            try await rig.publish(1...900)
            #expect(try await watch.look(put: 0, rate: 8000) == .goOn)
            #expect(watch.brake == nil, "a few that wait are no lag")
            try await rig.publish(901...2000)
            _ = try await watch.look(put: 0, rate: 8000)
            #expect(watch.brake == 4000)
            try await rig.publish(2001...2500)
            _ = try await watch.look(put: 0, rate: 8000)
            #expect(watch.brake == 2000)
            _ = try await watch.look(put: 0, rate: 2000)
            #expect(watch.brake == 4000, "it does not grow any more")
            try await rig.redis("XGROUP", "SETID", rig.keys().events, "payment", "$")
            for _ in 0..<20 { _ = try await watch.look(put: 0, rate: 2000) }
            #expect(watch.brake == nil)
        }
    }

    @Test(arguments: [true, false])
    func `a group with a backlog that does not grow slows no replay`(isLagKnown: Bool) async throws {
        try await Rig.with { rig in
            try await rig.createGroup()
            try await rig.publish(1...3000)
            // Behind a deletion the server has no count.
            if !isLagKnown {
                let page = try await rig.client.send(
                    .xrange(rig.keys().events, .zero ... .newest, count: 1500))
                try await rig.redis("XDEL", rig.keys().events, #require(page.last).id)
            }
            let snapshot = try await rig.broker.snapshot(of: "payment", rig.keys(), countingUpTo: 1)
            #expect(snapshot.log.marks.isLagKnown == isLagKnown)
            var limits = ReplayLimits()
            limits.errorRate = nil
            var watch = GroupWatch(
                "payment", Topic("orders"), limits, emptiesDeadLetters: false, on: rig.broker)
            for _ in 0..<3 { _ = try await watch.look(put: 0, rate: 80_000) }
            #expect(watch.brake == nil, "not at the first look either")
            try await rig.redis(
                "XREADGROUP", "GROUP", "payment", "c", "COUNT", 100, "STREAMS", rig.keys().events, ">")
            try await rig.publish(3001...3050)
            _ = try await watch.look(put: 0, rate: 80_000)
            #expect(watch.brake == nil, "it catches up")
            try await rig.publish(3051...3052)
            _ = try await watch.look(put: 0, rate: 80_000)
            #expect(watch.brake == 40_000)
        }
    }

    @Test func `a replay that is slowed says so, to whoever runs it and to whoever asks`() async throws {
        try await Rig.with { rig in
            try await rig.createGroup()
            try await rig.publish(1...4000)
            var request = ReplayRequest(topic: "orders", to: .group("payment"))
            request.pace.rate = 1000
            let job = try await rig.broker.save(try await rig.broker.plan(request), by: Operator("tester"))
            let said = Mutex("")
            async let ended = ReplayRun.run(job, by: Operator("tester"), on: rig.broker) { progress in
                said.withLock { if $0.isEmpty { $0 = progress.note } }
                return true
            }
            var next = 4001
            try await eventually("it says so") {
                try await rig.publish(next...next + 9)
                next += 10
                let isSaid = said.withLock { !$0.isEmpty }
                let note = try await rig.broker.replay(job.id).note
                return isSaid && !note.isEmpty
            }
            for note in [said.withLock { $0 }, try await rig.broker.replay(job.id).note] {
                #expect(
                    note.hasPrefix("slowed to ")
                        && note.hasSuffix("/s: the group's own events wait longer and longer"))
            }
            try await rig.broker.cancel(rig.broker.replay(job.id), by: Operator("tester"))
            #expect(try await ended.state == .cancelled)
        }
    }

    @Test func `too many that have not been taken are waited for, by the streams' lengths`() async throws {
        try await Rig.with { rig in
            try await rig.createGroup()
            try await rig.publish(1...300)
            var limits = ReplayLimits()
            limits.waiting = 200
            var watch = GroupWatch(
                "payment", Topic("orders"), limits, emptiesDeadLetters: false, on: rig.broker)
            var request = ReplayRequest(topic: "orders", to: .group("payment"))
            request.limits.waiting = nil
            #expect(try await rig.run(rig.broker.plan(request)) == 300)
            #expect(try await watch.look(put: 300, rate: 1) == .wait)
            #expect(watch.unsettled == 300)
            try await rig.redis("XTRIM", rig.redelivery(), "MAXLEN", 100)
            #expect(try await watch.look(put: 300, rate: 1) == .goOn)
        }
    }
}
