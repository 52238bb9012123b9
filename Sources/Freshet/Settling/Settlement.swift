internal import Hiredis

/// How a delivery ends.
enum Settlement: Sendable {
    /// Handled, or of a type that this group has no handler for.
    case acknowledged
    /// To be delivered again after the pause; so many attempts have failed.
    case scheduled(after: Duration, failedAttempts: Int, reason: String)
    /// Given up.
    case dead(failedAttempts: Int, reason: String)
    /// Not an event, or one that this program cannot read.
    case invalid(reason: String)
    /// Not begun: for another consumer, at once.
    case released

    /// As in metrics.
    var outcome: Outcome {
        switch self {
        case .acknowledged: .acknowledged
        case .scheduled: .scheduled
        case .dead: .dead
        case .invalid: .invalid
        case .released: .released
        }
    }

    /// As the script takes it: a letter, a pause in milliseconds, how many arguments follow, and these: fields to add.
    var arguments: [any RedisArgument] {
        switch self {
        case .acknowledged: ["a", 0, 0]
        case .scheduled(let pause, let failed, let reason):
            ["s", pause.inMilliseconds, 4, Field.attempt, failed, Field.reason, Self.cut(reason)]
        case .dead(let failed, let reason):
            ["d", 0, 6, Field.attempt, failed, Field.reason, Self.cut(reason), Field.failedAt, Self.now]
        case .invalid(let reason): ["i", 0, 4, Field.reason, Self.cut(reason), Field.failedAt, Self.now]
        case .released: ["r", 0, 0]
        }
    }

    private static var now: String { Timestamp.now().description }

    /// A reason is for people; a handler's error can be a page.
    private static func cut(_ reason: String) -> String {
        reason.count <= 2000 ? reason : reason.prefix(2000) + "…"
    }
}

/// What can become of an entry, as counted.
public enum Outcome: String, Sendable, CaseIterable {
    /// The handler returned.
    case acknowledged
    /// The group has no handler for its type; acknowledged.
    case ignored
    /// The handler threw; it comes again.
    case scheduled
    /// Dead letter.
    case dead
    /// Could not be read.
    case invalid
    /// Handed back before the handler ran.
    case released
    /// Another consumer had taken it; nothing was settled here.
    case fenced
    /// Deleted from the stream before it was settled.
    case lost
    /// Taken over from a consumer that showed no sign of life.
    case reclaimed
    /// This consumer's own, taken up again: the reply that brought it was lost, or the server lost its
    /// settlement.
    case recovered
}
