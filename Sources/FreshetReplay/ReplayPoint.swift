public import Freshet

/// A place in a topic's history, as an operator names it.
public enum ReplayPoint: Sendable, Hashable {
    /// Before the oldest entry.
    case start
    /// Behind the newest entry.
    case end
    /// The first entry that was added at this moment or later, by the server's clock.
    case time(Timestamp)
    /// This entry.
    case id(StreamID)

    /// `start`, `end`, an RFC 3339 time, a stream id, or a duration back from now: `90s`, `15m`, `2h`, `7d`; nil when it
    /// is none of them.
    public init?(_ text: String, now: Timestamp = .now()) {
        switch text {
        case "start": self = .start
        case "end": self = .end
        default:
            if let time = Timestamp(text) {
                self = .time(time)
            } else if let unit = text.last.flatMap({ Self.units[$0] }), let number = Int64(text.dropLast()),
                number >= 0, number < 1_000_000_000
            {
                self = .time(Timestamp(milliseconds: now.milliseconds - number * unit))
            } else if text.contains("-") || text.count >= 10, let id = StreamID(text) {
                self = .id(id)
            } else {
                return nil
            }
        }
    }

    private static let units: [Character: Int64] = ["s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000]

    /// As the first place of a range.
    public var asLowerBound: StreamID {
        switch self {
        case .start: .zero
        case .end: .newest
        case .time(let time): StreamID(milliseconds: UInt64(clamping: time.milliseconds), sequence: 0)
        case .id(let id): id
        }
    }

    /// As the last place of a range: all of a time's millisecond belongs to it.
    public var asUpperBound: StreamID {
        switch self {
        case .start: .zero
        case .end: .newest
        case .time(let time): StreamID(milliseconds: UInt64(clamping: time.milliseconds), sequence: .max)
        case .id(let id): id
        }
    }
}
