internal import Freshet
internal import Hiredis

/// Reads a log, and sees in the same step whether entries that should come next were cut off.
struct LogLook {
    enum Answer {
        case page([StreamEntry])
        case end
        case cut(Cut)
    }

    /// What the log has no more.
    struct Cut {
        /// The last id before what the log has.
        let before: StreamID
        /// How many entries are gone; nil when the server cannot say (before Redis 7).
        let gone: Int?

        /// Whether entries between the archive's end and what the log has are gone, when so many were ever added up to that
        /// end. The server's newest deleted id says nothing of this: a trim does not move it.
        func hasLost(behind end: StreamID, archived added: Int) -> Bool {
            before > end && gone.map { $0 > added } ?? false
        }
    }

    let key: String
    private let broker: Broker
    private let isQueue: Bool
    private var size = 16

    /// - Parameter isQueue: whether entries go once they are settled, so that nothing can be said of those that are gone.
    init(_ key: String, on broker: Broker, isQueue: Bool) {
        self.key = key
        self.broker = broker
        self.isQueue = isQueue
    }

    mutating func look(after position: StreamID, through end: StreamID) async throws -> Answer {
        guard let start = position.successor, start <= end else { return .end }
        let (info, range) = (
            RedisCommand.xinfoStream(key), RedisCommand.xrange(key, start...end, count: size)
        )
        var pipeline = RedisPipeline()
        pipeline.append("MULTI")
        pipeline.append(info)
        pipeline.append(range)
        pipeline.append("EXEC")
        let answers = try await broker.client.send(pipeline)[3].get().array.map(Array.init) ?? []
        guard answers.count == 2 else {
            throw FreshetError(RedisError(.unexpectedReply, "a transaction of another shape"))
        }
        if let error = answers[0].error, error.message.contains("no such key") {
            return .cut(Cut(before: end, gone: nil))
        }
        let log = try info.answer(from: answers[0])
        guard let first = log.firstID, first <= position else {
            let before = log.firstID.map { $0.predecessor ?? .zero } ?? end
            // Nothing stands between: the first entry of all.
            if before <= position { return try answer(range.answer(from: answers[1])) }
            return .cut(
                Cut(before: before, gone: isQueue ? nil : log.entriesAdded.map { $0 - log.length }))
        }
        return try answer(range.answer(from: answers[1]))
    }

    private mutating func answer(_ page: [StreamEntry]) -> Answer {
        guard !page.isEmpty else { return .end }
        let average = page.reduce(0) { $0 + $1.byteCount } / page.count
        size = max(1, min(2_097_152 / max(1, average), size * 4, 1024))
        return .page(page)
    }
}
