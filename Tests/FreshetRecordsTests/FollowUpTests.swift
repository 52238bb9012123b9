import Freshet
import FreshetRecords
import Testing

@Suite struct FollowUpTests {
    private func followUp(_ cause: String, key: String? = "k") -> FollowUp {
        FollowUp(topic: .notes, type: Noted.eventType, key: key, causationID: cause)
    }

    private func event(_ cause: String, key: String? = "k") throws -> Event {
        Event(source: "notes", type: Noted.eventType, partitionKey: key, causationID: cause, data: "{}")
    }

    @Test func `what came by is not missing, whether it was expected before, or waits for its time`() throws {
        var followUps = FollowUps()
        try followUps.schedule(event("later"), in: "notes")
        for cause in ["a", "b", "later"] { followUps.expect(followUp(cause)) }
        try followUps.observe(event("b"), in: "notes")
        #expect(followUps.count == 1 && followUps.missing.some.map(\.causationID) == ["a"])
        try followUps.observe(event("early"), in: "notes")
        followUps.expect(followUp("early"))
        #expect(followUps.count == 1)
        try followUps.observe(event("a"), in: "elsewhere")
        #expect(followUps.missing.some.map(\.causationID) == ["a"], "another topic is another place")
    }

    @Test func `an event that follows another cause with the same key counts once in the end`() throws {
        var followUps = FollowUps()
        for cause in ["a", "b"] { followUps.expect(followUp(cause)) }
        let other = try event("c")
        followUps.observe(other, in: "notes")
        followUps.observe(other, in: "notes")
        #expect(followUps.count == 2 && followUps.missing.count == 1)
        followUps.expect(followUp("x", key: nil))
        try followUps.observe(event("y", key: nil), in: "notes")
        #expect(followUps.missing.count == 2, "without a key only the cause says what it is")
    }

    @Test func `what the history may have lost is neither there nor missing`() throws {
        var followUps = FollowUps()
        for cause in ["old", "found"] { followUps.expect(followUp(cause), mayBeLost: true) }
        followUps.expect(followUp("new"))
        try followUps.observe(event("found"), in: "notes")
        let missing = followUps.missing
        #expect(missing.count == 1 && missing.some.map(\.causationID) == ["new"] && missing.unknown == 1)
    }
}
