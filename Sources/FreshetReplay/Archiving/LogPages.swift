internal import Freshet
internal import Hiredis

/// Entries of a stream behind one id and up to another, in large pages, the next of which is on its way while the caller
/// works on one.
struct LogPages {
    /// The last id that is read.
    let end: StreamID
    private let key: String
    private let broker: Broker
    private let segment: Int
    private var left: Int
    private var size = 256
    private var position: StreamID
    private var next: Task<[StreamEntry], any Error>?

    /// - Parameter segment: a page ends wherever so many entries have come, so that segments of so many can be cut.
    init(_ key: String, in range: ClosedRange<StreamID>, on broker: Broker, segment: Int) {
        self.key = key
        self.broker = broker
        self.segment = max(1, segment)
        left = self.segment
        position = range.lowerBound
        end = range.upperBound
    }

    /// Never empty; nil at the end.
    mutating func next() async throws -> [StreamEntry]? {
        let page = try await (next ?? request())?.value ?? []
        next = nil
        guard let last = page.last else { return nil }
        position = last.id
        left -= page.count
        if left <= 0 { left = segment }
        let average = max(1, page.prefix(16).reduce(0) { $0 + $1.byteCount } / min(16, page.count))
        size = max(1, min(Self.pageBytes / average, size * 2, 4096))
        next = request()
        return page
    }

    /// How many entries there are behind one id and up to another.
    static func count(_ key: String, behind position: StreamID, through end: StreamID, on broker: Broker)
        async throws -> Int
    {
        guard position < end else { return 0 }
        var pages = LogPages(key, in: position...end, on: broker, segment: .max)
        var count = 0
        while let page = try await pages.next() { count += page.count }
        return count
    }

    private func request() -> Task<[StreamEntry], any Error>? {
        guard let start = position.successor, start <= end else { return nil }
        let command = RedisCommand.xrange(key, start...end, count: min(size, left))
        let client = broker.client
        return Task { try await client.send(command) }
    }

    private static let pageBytes = 1_048_576
}

extension Broker {
    /// What a stream says of itself; nil when there is none.
    func streamInfo(_ key: String) async throws(FreshetError) -> StreamInfo? {
        do {
            return try await client.send(.xinfoStream(key))
        } catch  where error.message.contains("no such key") {
            return nil
        } catch { throw FreshetError(error) }
    }
}
