import Freshet
import FreshetReplay
import FreshetTesting
import Hiredis
import Testing

@Suite struct ArchiveMarkTests {
    private func mark(_ rig: Rig) async throws -> String? {
        try await rig.redis("HGET", "test:topic:{orders}", "archived:0").string
    }

    @Test func `another folder's archiver does not move the mark of one that is at work`() async throws {
        try await Rig.with { rig in
            try await rig.publish(1...10)
            #expect(try await rig.pass().flatMap(\.notes) == [])
            try await rig.publish(11...20)
            let other = try await rig.pass(to: rig.folder + "2")
            #expect(other.map(\.archived) == [20])
            #expect(other[0].notes.first?.contains("--take-over") == true, "\(other[0].notes)")
            #expect(try await mark(rig) == "10-0")
            #expect(try await rig.pass().flatMap(\.notes) == [])
            #expect(try await mark(rig) == "20-0")
        }
    }

    @Test func `a mark is moved when it is old, has no name, or is taken over`() async throws {
        try await Rig.with { rig in
            try await rig.publish(1...10)
            try await rig.pass()
            try await rig.publish(11...20)
            var options = ArchiverOptions()
            options.takesOver = true
            let archiver = try await Archiver.open(
                rig.topic(), on: rig.broker, to: rig.folder + "2", options: options)
            #expect(try await archiver.pass().flatMap(\.notes) == [])
            await archiver.close()
            #expect(try await mark(rig) == "20-0")
            #expect(try await rig.pass().flatMap(\.notes).count == 1)
            let now = try await rig.redis("TIME").array?[0].integer ?? 0
            for owner in ["x \(now - 86_401)", ""] {
                try await rig.redis(
                    "HSET", "test:topic:{orders}", "archived:by:0", owner, "archived:0", "1-0")
                #expect(try await rig.pass(to: rig.folder + "3").flatMap(\.notes) == [])
                #expect(try await mark(rig) == "20-0")
            }
        }
    }
}
