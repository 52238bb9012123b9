/// One pipeline on its way: from the caller to the socket and back.
///
/// `@unchecked Sendable` because the caller writes `caller` before it hands the request to the loop (through the loop's
/// mutex), and from then on only the loop's thread touches it.
final class Request: @unchecked Sendable {
    typealias Outcome = Result<RedisReplies?, RedisError>

    let pipeline: RedisPipeline
    let timeout: Nanoseconds
    /// How long the server may keep the replies back.
    let block: Nanoseconds
    /// Who gets the outcome, until it has been given.
    var caller: Caller?
    // Of the loop:
    var deadline: Nanoseconds = .max
    var submittedAt: Nanoseconds = 0
    /// Where its first byte stands in all that the connection ever wrote, or nil while it waits for a connection.
    var start: UInt64?
    var received = 0
    var isSubmitted = false
    var isCancelled = false

    init(_ pipeline: RedisPipeline, timeout: Duration, block: Duration = .zero) {
        self.pipeline = pipeline
        self.timeout = timeout.nanoseconds
        self.block = block.nanoseconds
    }

    /// A task that waits, or a closure; not always the closure, which would be an allocation for each command.
    @safe
    enum Caller {
        case task(UnsafeContinuation<Outcome, Never>)
        case closure((sending Outcome) -> Void)
    }

    var isAnswered: Bool { caller == nil }

    /// Gives the caller its outcome, once; a second outcome goes to nobody.
    func answer(_ outcome: sending Outcome) {
        guard let caller else { return }
        self.caller = nil
        switch caller {
        case .task(let continuation): unsafe continuation.resume(returning: outcome)
        case .closure(let give): give(outcome)
        }
    }
}
