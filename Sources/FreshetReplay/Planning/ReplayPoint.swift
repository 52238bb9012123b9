public import Freshet
public import Hiredis

/// A place in a topic's history, as an operator names it.
public enum ReplayPoint: Sendable, Hashable, CustomStringConvertible {
    /// Before the oldest entry.
    case start
    /// Behind the newest entry.
    case end
    /// The first entry that was added at this moment or later, by the server's clock.
    case time(Timestamp)
    /// This entry.
    case id(StreamID)
    /// The first entry that was added so many milliseconds ago or later, by the server's clock.
    case back(milliseconds: Int64)

    /// `start`, `end`, an RFC 3339 time, a stream id (also without its sequence number: then all of that millisecond),
    /// or a duration back from now: `90s`, `15m`, `2h`, `7d`; nil when it is none of them.
    public init?(_ text: String) {
        if text == "start" {
            self = .start
        } else if text == "end" {
            self = .end
        } else if let time = Timestamp(text) {
            self = .time(time)
        } else if let unit = text.last.flatMap({ Self.units[$0] }), let number = Int64(text.dropLast()),
            (0..<1_000_000_000).contains(number)
        {
            self = .back(milliseconds: number * unit)
        } else if let id = StreamID(text) {
            // A short number is a slip, not a millisecond of 1970.
            guard text.contains("-") || text.count >= 10 else { return nil }
            self =
                text.contains("-")
                ? .id(id) : .time(Timestamp(milliseconds: Int64(clamping: id.milliseconds)))
        } else {
            return nil
        }
    }

    private static let units: [Character: Int64] = ["s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000]

    /// What `init(_:)` reads, for help texts and errors.
    public static let forms =
        "start, end, an RFC 3339 time, a stream id, or a duration back from now (90s, 15m, 2h, 7d)"

    /// This place as the first one of a range.
    ///
    /// - Parameter now: the server's clock.
    public func lowerBound(now: Timestamp) -> StreamID {
        switch self {
        case .start: .zero
        case .end: .newest
        case .time(let time): StreamID(milliseconds: UInt64(clamping: time.milliseconds), sequence: 0)
        case .id(let id): id
        case .back(let milliseconds): Self.moment(now, milliseconds).lowerBound(now: now)
        }
    }

    /// This place as the last one of a range: all of a time's millisecond belongs to it.
    ///
    /// - Parameter now: the server's clock.
    public func upperBound(now: Timestamp) -> StreamID {
        switch self {
        case .start: .zero
        case .end: .newest
        case .time(let time): StreamID(milliseconds: UInt64(clamping: time.milliseconds), sequence: .max)
        case .id(let id): id
        case .back(let milliseconds): Self.moment(now, milliseconds).upperBound(now: now)
        }
    }

    private static func moment(_ now: Timestamp, _ milliseconds: Int64) -> ReplayPoint {
        .time(Timestamp(milliseconds: now.milliseconds - milliseconds))
    }

    /// As an operator writes it; durations in seconds.
    public var description: String {
        switch self {
        case .start: "start"
        case .end: "end"
        case .time(let time): time.description
        case .id(let id): id.description
        case .back(let milliseconds): "\(milliseconds / 1000)s"
        }
    }
}
