public import Hiredis

/// An entry of one of a topic's streams, as it stands there.
public struct StreamEntry: Sendable {
    /// Where it stands in its stream.
    public let id: StreamID
    /// Names and values in turn.
    public let fields: RedisReplies

    /// The entries of a reply to XRANGE, XREVRANGE or one stream of XREAD.
    static func list(_ reply: RedisReply) -> [StreamEntry] {
        (reply.array.map(Array.init) ?? []).compactMap { reply in
            guard let pair = reply.array, pair.count == 2, let id = pair[0].string.flatMap({ StreamID($0) }),
                let fields = pair[1].array
            else { return nil }
            return StreamEntry(id: id, fields: fields)
        }
    }

    /// The value of a field, or nil when there is none of this name. The last one counts, as for a consumer.
    public func field(_ name: String) -> RedisBytes? {
        var found: RedisBytes?
        var iterator = fields.makeIterator()
        while let key = iterator.next()?.bytes, let value = iterator.next()?.bytes {
            if key.isEqual(to: name) { found = value }
        }
        return found
    }

    /// Where it stood in the log, for an entry of a dead-letter, invalid or redelivery stream.
    public var originalID: StreamID? { field(Field.originalID).flatMap { StreamID($0.string) } }

    /// The event, or an error that says why it is none.
    public func event() throws(FreshetError) -> Event {
        try DecodedFields(fields, entry: id, trusted: true).event
    }

    /// The length of its names and values.
    var byteCount: Int { fields.reduce(0) { $0 + ($1.bytes?.count ?? 0) } }
}

extension RedisBytes {
    fileprivate func isEqual(to text: String) -> Bool {
        guard count == text.utf8.count else { return false }
        return unsafe withUnsafeBytes { unsafe $0.elementsEqual(text.utf8) }
    }
}

extension StreamID: Codable {
    /// Behind every entry.
    public static let newest = StreamID(milliseconds: .max, sequence: .max)

    /// A position in a document, as Redis writes it.
    public init(from decoder: any Decoder) throws {
        let text = try decoder.singleValueContainer().decode(String.self)
        guard let id = StreamID(text) else {
            throw FreshetError(.invalidData, "'\(text.prefix(60))' is no stream id")
        }
        self = id
    }

    /// As Redis writes it.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}
