/// An entry of a stream, as it stands there.
public struct StreamEntry: Sendable {
    /// Where it stands in its stream.
    public let id: StreamID
    /// Names and values in turn, views into the server's reply; none when the entry `isDeleted`.
    public let fields: RedisReplies

    /// An entry that no server has sent just now: of an archive or a file.
    package init(id: StreamID, fields: RedisReplies) {
        self.id = id
        self.fields = fields
    }

    /// Whether the entry was deleted while a consumer held it: the list of pending entries still has its id, and
    /// nothing else is left. An entry that exists has at least one field.
    public var isDeleted: Bool { fields.count == 0 }

    /// The value of a field, or nil when there is none of this name. The last one counts when a name stands there twice.
    public func field(_ name: String) -> RedisBytes? {
        var found: RedisBytes?
        var iterator = fields.makeIterator()
        while let key = iterator.next()?.bytes, let value = iterator.next()?.bytes {
            if key.isEqual(to: name) { found = value }
        }
        return found
    }

    /// The length of its names and values.
    public var byteCount: Int { fields.reduce(0) { $0 + ($1.bytes?.count ?? 0) } }
}

extension StreamEntry {
    /// `[id, [name, value, ...]]`, or `[id, nil]` for a deleted one.
    package init?(_ reply: RedisReply) {
        var pair = reply.array?.makeIterator()
        guard let id = pair?.next()?.streamID, let fields = pair?.next(), pair?.next() == nil,
            let fields = fields.array ?? (fields.isNull ? .none(of: fields) : nil)
        else { return nil }
        self.init(id: id, fields: fields)
    }

    /// The entries of an array of them; nil when there is anything else in it.
    static func list(_ reply: RedisReply) -> [StreamEntry]? { reply.list { StreamEntry($0) } }

    /// The entries of several streams, `[[key, [entry, ...]], ...]`; no stream when nothing came in time.
    static func listByStream(_ reply: RedisReply) -> [(key: String, entries: [StreamEntry])]? {
        if reply.isNull { return [] }
        return reply.list { reply in
            var pair = reply.array?.makeIterator()
            guard let key = pair?.next()?.string, let entries = pair?.next().flatMap({ list($0) }) else {
                return nil
            }
            return (key, entries)
        }
    }
}

extension RedisReplies {
    /// No replies at all.
    fileprivate static func none(of reply: RedisReply) -> RedisReplies {
        RedisReplies(storage: reply.storage, first: reply.index, count: 0)
    }
}

extension RedisReply {
    /// What `read` makes of each element of an array; nil when the reply is none, or `read` makes nothing of one.
    package func list<Element>(_ read: (RedisReply) -> Element?) -> [Element]? {
        guard let array else { return nil }
        var elements: [Element] = []
        elements.reserveCapacity(array.count)
        for reply in array {
            guard let element = read(reply) else { return nil }
            elements.append(element)
        }
        return elements
    }
}

extension RedisBytes {
    fileprivate func isEqual(to text: String) -> Bool {
        guard count == text.utf8.count else { return false }
        return unsafe withUnsafeBytes { unsafe $0.elementsEqual(text.utf8) }
    }
}
