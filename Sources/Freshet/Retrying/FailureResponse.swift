/// What becomes of an event whose handler threw.
public enum FailureResponse: Sendable, Hashable {
    /// Again after the policy's pause, until the attempts are used up; then a dead letter.
    case retry
    /// Again after this pause, until the attempts are used up; then a dead letter.
    case retryAfter(Duration)
    /// Not a failure: acknowledged.
    case acknowledge
    /// A dead letter at once: no attempt would help.
    case deadLetter
    /// To the group's invalid entries at once: the data is not what its type promises.
    case invalid
}

/// Thrown by a handler that knows what is to become of its event, whatever the policy says of errors.
///
///     throw Respond(.retryAfter(.seconds(30)), because: "the provider is busy")
public struct Respond: Error, Sendable, CustomStringConvertible {
    /// What is to become of the event.
    public let response: FailureResponse
    /// Why, for people: it stands beside the event as long as it is not done.
    public let description: String

    /// This response, for this reason.
    public init(_ response: FailureResponse, because reason: String) {
        self.response = response
        description = reason
    }
}
