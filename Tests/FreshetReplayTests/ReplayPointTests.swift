import Freshet
import FreshetReplay
import Hiredis
import Testing

@Suite struct ReplayPointTests {
    private let now = Timestamp(milliseconds: 1_700_000_000_000)

    @Test func `places are read as an operator writes them`() throws {
        let cases: [(text: String, point: ReplayPoint)] = [
            ("start", .start), ("end", .end), ("5-3", .id(id(5, 3))),
            ("1700000000000", .time(Timestamp(milliseconds: 1_700_000_000_000))),
            ("1700000000000-0", .id(id(1_700_000_000_000))),
            ("2023-11-14T22:13:20Z", .time(Timestamp(milliseconds: 1_700_000_000_000))),
            ("2023-11-14T23:13:20.5+01:00", .time(Timestamp(milliseconds: 1_700_000_000_500))),
            ("90s", .back(milliseconds: 90_000)), ("15m", .back(milliseconds: 900_000)),
            ("2h", .back(milliseconds: 7_200_000)), ("7d", .back(milliseconds: 604_800_000)),
            ("0s", .back(milliseconds: 0)),
        ]
        for item in cases { #expect(ReplayPoint(item.text) == item.point, "\(item.text)") }
    }

    @Test(arguments: [
        "", "yesterday", "Start", "5", "15", "-5m", "5 m", "m", "1.5h", "5w", "99999999999999s", "5-", "-5",
        "5-x", "2023-11-14", "2023-02-30T00:00:00Z", "18446744073709551616-0", "1-0-0", "+1-0",
    ])
    func `what is none is refused`(text: String) {
        #expect(ReplayPoint(text) == nil)
    }

    @Test func `a place is a bound from either side`() {
        let time = ReplayPoint.time(Timestamp(milliseconds: 5))
        #expect(time.lowerBound(now: now) == id(5))
        #expect(time.upperBound(now: now) == id(5, .max), "all of the millisecond belongs to the range")
        #expect(ReplayPoint.start.lowerBound(now: now) == .zero)
        #expect(ReplayPoint.end.upperBound(now: now) == .newest)
        #expect(ReplayPoint.id(id(5, 3)).lowerBound(now: now) == id(5, 3))
        #expect(ReplayPoint.id(id(5, 3)).upperBound(now: now) == id(5, 3))
        let back = ReplayPoint.back(milliseconds: 90_000)
        #expect(back.lowerBound(now: now) == id(1_699_999_910_000))
        #expect(back.upperBound(now: now) == id(1_699_999_910_000, .max))
        let before1970 = ReplayPoint.time(Timestamp(milliseconds: -1))
        #expect(before1970.lowerBound(now: now) == .zero)
        #expect(ReplayPoint("1h").map { "\($0)" } == "3600s")
    }
}
