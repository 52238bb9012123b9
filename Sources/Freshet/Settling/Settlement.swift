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
}
