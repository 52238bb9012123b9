import Freshet
import FreshetTesting
import Hiredis
import Testing

/// The server's own lag is absent or wrong in each of these; the report's is not.
@Suite struct WaitingTests {
    /// A log of the entries 1-0 to 10-0 with a group behind this one.
    static func withLog(
        _ count: Int = 10, after start: String = "0", _ body: (Rig) async throws -> Void
    ) async throws {
        try await Rig.with { rig in
            try await rig.fill(rig.log(), 1...count)
            try await rig.redis("XGROUP", "CREATE", rig.log(), "payment", start)
            try await body(rig)
        }
    }

    @Test func `a group in the middle of the log`() async throws {
        try await Self.withLog { rig in
            try await rig.redis("XGROUP", "SETID", rig.log(), "payment", "4-0")
            #expect(try await rig.report().waiting == 6)
            try await rig.redis("XGROUP", "SETID", rig.log(), "payment", "4-5")
            #expect(try await rig.report().waiting == 6)
            try await rig.redis("XGROUP", "SETID", rig.log(), "payment", "4-0", "ENTRIESREAD", 99)
            let report = try await rig.report()
            #expect(report.waiting == 6)
            #expect(report.lagKnown)
            #expect(report.length == 10)
        }
    }

    @Test func `entries deleted ahead of the group, and behind it`() async throws {
        try await Self.withLog(after: "4-0") { rig in
            try await rig.redis("XDEL", rig.log(), "7-0", "8-0")
            #expect(try await rig.report().waiting == 4)
            try await rig.redis("XDEL", rig.log(), "1-0", "4-0")
            #expect(try await rig.report().waiting == 4)
            try await rig.redis("XDEL", rig.log(), "10-0")
            #expect(try await rig.report().waiting == 3)
        }
    }

    @Test func `a log trimmed past the group`() async throws {
        try await Self.withLog(after: "4-0") { rig in
            try await rig.redis("XTRIM", rig.log(), "MAXLEN", 3)
            #expect(try await rig.report().waiting == 3)
            try await rig.redis("XTRIM", rig.log(), "MAXLEN", 0)
            let report = try await rig.report()
            #expect(report.waiting == 0)
            #expect(report.isSettled)
            #expect(report.oldestWaitingSeconds == nil)
        }
    }

    @Test func `a group at the end, behind it, and at the last id of all`() async throws {
        try await Self.withLog(after: "10-0") { rig in
            #expect(try await rig.report().waiting == 0)
            try await rig.redis("XGROUP", "SETID", rig.log(), "payment", "500-0")
            #expect(try await rig.report().waiting == 0)
            try await rig.redis("XGROUP", "SETID", rig.log(), "payment", StreamID.newest.description)
            #expect(try await rig.report().waiting == 0)
        }
    }

    @Test func `more entries than one page, exactly, and more than are counted, as a bound`() async throws {
        try await Self.withLog(4321, after: "1-0") { rig in
            #expect(try await rig.report().waiting == 4320)
            for most in [4320, 1_000_000] {
                let report = try await rig.report(countingUpTo: most)
                #expect(report.waiting == 4320)
                #expect(report.lagKnown)
            }
            for most in [10, 1000, 3000] {
                let report = try await rig.report(countingUpTo: most)
                #expect((most..<4320).contains(report.waiting))
                #expect(!report.lagKnown)
                #expect(!report.isSettled)
            }
            // Nothing stands before it: the log's length says how many without counting.
            try await rig.redis("XGROUP", "SETID", rig.log(), "payment", "0")
            let report = try await rig.report(countingUpTo: 10)
            #expect(report.waiting == 4321)
            #expect(report.lagKnown)
        }
    }

    @Test func `large entries`() async throws {
        try await Rig.with { rig in
            let large = [UInt8](repeating: 0x61, count: 3_000_000)
            for number in 1...12 { try await rig.redis("XADD", rig.log(), "\(number)-0", "data", large) }
            try await rig.redis("XGROUP", "CREATE", rig.log(), "payment", "3-0")
            #expect(try await rig.report().waiting == 9)
        }
    }

    @Test func `several partitions add up`() async throws {
        try await Rig.with { rig in
            for partition in 0..<3 {
                try await rig.fill(rig.log("orders", partition), 1...(partition + 2))
                try await rig.redis("XGROUP", "CREATE", rig.log("orders", partition), "payment", "1-0")
            }
            let report = try await rig.report()
            #expect(report.length == 2 + 3 + 4)
            #expect(report.waiting == 1 + 2 + 3)
        }
    }

    @Test func `a group that was declared and is gone waits for everything behind its start`() async throws {
        try await Self.withLog { rig in
            try await rig.redis("HSET", "test:topic:{orders}", "partitions", 1, "start:payment:0", "3-0")
            #expect(try await rig.report().waiting == 10)
            try await rig.redis("XGROUP", "DESTROY", rig.log(), "payment")
            let report = try await rig.report()
            #expect(report.group == "payment")
            #expect(report.waiting == 7)
            try await rig.redis("DEL", rig.log())
            #expect(try await rig.report().waiting == 0)
        }
    }
}
