internal import Hiredis

/// A stream that a consumer reads: a partition's log, or its group's redelivery stream.
struct ReadStream: Hashable, Sendable {
    let key: String
    let partition: Int
    let isRedelivery: Bool
}

/// An entry as the server gave it. `fields` is nil when it was deleted while it was pending.
struct Entry: Sendable {
    struct Place: Hashable, Sendable {
        let stream: ReadStream
        let id: StreamID
    }
    let place: Place
    let fields: RedisReplies?

    /// Entries from a reply of `[id, [name, value, ...]]` pairs.
    static func list(_ replies: RedisReplies, in stream: ReadStream) -> [Entry] {
        replies.compactMap { reply in
            guard let pair = reply.array, pair.count == 2, let id = pair[0].string.flatMap({ StreamID($0) })
            else {
                return nil
            }
            return Entry(place: Place(stream: stream, id: id), fields: pair[1].array)
        }
    }
}
