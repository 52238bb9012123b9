internal import CHiredisShims

/// One reply of the server, or one element of it: a view into the flat reply, decoded only when asked.
public struct RedisReply: Sendable {
    let storage: ReplyStorage
    let index: Int

    private var node: fch_node { storage.node(at: index) }

    private func bytes(of node: fch_node) -> RedisBytes {
        let start = Int(node.value)
        return RedisBytes(storage: storage, range: start..<(start + Int(node.count)))
    }

    /// Whether the server said nil: no such key, nothing within the time.
    public var isNull: Bool { node.kind == UInt8(FCH_NIL) }

    /// The bytes of a text or status, or nil when the reply is something else.
    public var bytes: RedisBytes? {
        let node = node
        return node.kind == UInt8(FCH_STRING) || node.kind == UInt8(FCH_STATUS) ? bytes(of: node) : nil
    }

    /// The text of a text or status, or nil when the reply is something else. Not UTF-8 becomes U+FFFD.
    public var string: String? { bytes?.string }

    /// The number of an integer reply, or of a text that spells one; nil when the reply is something else.
    public var integer: Int? {
        let node = node
        return node.kind == UInt8(FCH_INTEGER) ? Int(node.value) : bytes?.integer
    }

    /// The elements of an array reply, or nil when the reply is something else.
    public var array: RedisReplies? {
        let node = node
        guard node.kind == UInt8(FCH_ARRAY) else { return nil }
        return RedisReplies(storage: storage, first: index + 1, count: Int(node.count))
    }

    /// The server's error, or nil when the reply is none.
    public var error: RedisError? {
        let node = node
        return node.kind == UInt8(FCH_ERROR) ? .server(bytes(of: node).string) : nil
    }

    /// This reply, unless it is the server's error, which is thrown.
    @discardableResult
    public func get() throws(RedisError) -> RedisReply {
        if let error { throw error }
        return self
    }
}

/// Replies in a row: those of a pipeline, or the elements of an array.
///
/// Going through them in order is one step each; `subscript` walks from the first.
public struct RedisReplies: Sendable, Sequence {
    let storage: ReplyStorage
    let first: Int
    /// How many there are.
    public let count: Int

    init(storage: ReplyStorage, first: Int, count: Int) {
        self.storage = storage
        self.first = first
        self.count = count
    }

    /// Texts that no server has sent: they lie one behind the other in `bytes`, with these lengths.
    package init(textLengths lengths: [Int], bytes: [UInt8]) {
        self.init(storage: .texts(lengths: lengths, bytes: bytes), first: 0, count: lengths.count)
    }

    /// Rows of texts that no server has sent, in one allocation: `counts` says how many texts each row has.
    package static func rows(of counts: [Int], textLengths lengths: [Int], bytes: [UInt8]) -> [RedisReplies] {
        precondition(counts.reduce(0, +) == lengths.count, "counts that are not those of the texts")
        let storage = ReplyStorage.texts(lengths: lengths, bytes: bytes)
        var first = 0
        return counts.map { count in
            defer { first += count }
            return RedisReplies(storage: storage, first: first, count: count)
        }
    }

    /// Copies of these replies, as if they had come together.
    init(joining replies: [RedisReply]) {
        self.init(storage: .joining(replies), first: 0, count: replies.count)
    }

    /// The reply at this position, from 0. A position past the end is a programmer's error.
    public subscript(position: Int) -> RedisReply {
        precondition(position >= 0 && position < count, "reply \(position) of \(count)")
        var index = first
        for _ in 0..<position { index = storage.next(after: index) }
        return RedisReply(storage: storage, index: index)
    }

    /// Goes through the replies in order.
    public func makeIterator() -> Iterator { Iterator(storage: storage, index: first, left: count) }

    /// Goes through the replies in order.
    public struct Iterator: IteratorProtocol {
        let storage: ReplyStorage
        var index: Int
        var left: Int

        /// The next reply, or nil at the end.
        public mutating func next() -> RedisReply? {
            guard left > 0 else { return nil }
            defer {
                left -= 1
                if left > 0 { index = storage.next(after: index) }
            }
            return RedisReply(storage: storage, index: index)
        }
    }
}

extension RedisReplies {
    /// Goes through names and values in turn without making a reply of each, which would cost a reference count. Stops at the
    /// first that is no text or blob. The bytes are there for the time of the closure; `bytes(at:)` keeps them.
    package func forEachField(
        _ body: (_ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer, _ valueIndex: Int) -> Void
    ) {
        unsafe storage.forEachString(from: first, count: count) { name, value, index in
            unsafe body(name, value, index)
        }
    }

    /// The text or blob at an index that `forEachField` gave.
    package func bytes(at index: Int) -> RedisBytes? { RedisReply(storage: storage, index: index).bytes }
}
