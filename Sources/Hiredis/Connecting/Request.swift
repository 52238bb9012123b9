/// One pipeline on its way: from the caller to the socket and back.
///
/// `@unchecked Sendable` because the caller writes `reply` before it hands the request to the loop (through the loop's
/// mutex), and from then on only the loop's thread touches it.
final class Request: @unchecked Sendable {
    typealias Outcome = Result<RedisReplies?, RedisError>

    let pipeline: RedisPipeline
    let timeout: Nanoseconds
    /// How long the server may keep the replies back.
    let block: Nanoseconds
    var reply: ((sending Outcome) -> Void)?
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

    var isAnswered: Bool { reply == nil }

    /// Gives the caller its outcome, once; a second outcome goes to nobody.
    func answer(_ outcome: sending Outcome) {
        guard let reply else { return }
        self.reply = nil
        reply(outcome)
    }
}
