internal import Hiredis

/// A stream that a consumer reads: a partition's log, or its group's redelivery stream.
struct ReadStream: Hashable, Sendable {
    let key: String
    let partition: Int
    let isRedelivery: Bool
}

/// An entry as the server gave it, and where from. Neither a read of new entries nor XAUTOCLAIM gives a deleted one.
struct Entry: Sendable {
    struct Place: Hashable, Sendable {
        let stream: ReadStream
        let id: StreamID
    }
    let place: Place
    let fields: RedisReplies

    init(_ entry: StreamEntry, in stream: ReadStream) {
        place = Place(stream: stream, id: entry.id)
        fields = entry.fields
    }
}
