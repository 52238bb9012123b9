import Freshet
import FreshetReplay
import Testing

@Suite struct ReplayPointTests {
    static let now = Timestamp(milliseconds: 1_000_000_000)

    @Test func `places are read as an operator writes them`() {
        #expect(ReplayPoint("start") == .start)
        #expect(ReplayPoint("end") == .end)
        #expect(ReplayPoint("1970-01-01T00:00:01Z") == .time(Timestamp(milliseconds: 1000)))
        #expect(ReplayPoint("5-3") == .id(StreamID(milliseconds: 5, sequence: 3)))
        #expect(ReplayPoint("1700000000000") == .id(StreamID(milliseconds: 1_700_000_000_000, sequence: 0)))
        #expect(ReplayPoint("90s", now: Self.now) == .time(Timestamp(milliseconds: 999_910_000)))
        #expect(ReplayPoint("2h", now: Self.now) == .time(Timestamp(milliseconds: 992_800_000)))
        for text in ["", "yesterday", "5", "-5s", "5w", "2026-13-01T00:00:00Z", "1-2-3", "+1-0"] {
            #expect(ReplayPoint(text) == nil, "\(text)")
        }
    }

    @Test func `a time's whole millisecond lies in a range that ends with it`() {
        let point = ReplayPoint.time(Timestamp(milliseconds: 7))
        #expect(point.asLowerBound == StreamID(milliseconds: 7, sequence: 0))
        #expect(point.asUpperBound == StreamID(milliseconds: 7, sequence: .max))
        #expect(ReplayPoint.start.asLowerBound == .zero && ReplayPoint.end.asUpperBound == .newest)
    }
}
