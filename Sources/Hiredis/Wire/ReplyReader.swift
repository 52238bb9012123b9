import CHiredisShims

/// hiredis' parser with our flat constructors. Belongs to one loop; survives replies cut at any byte.
@safe
struct ReplyReader: ~Copyable {
    private let reader: OpaquePointer

    init(maxReplyBytes: Int) {
        guard let reader = unsafe fch_reader_create(maxReplyBytes) else {
            preconditionFailure("out of memory")
        }
        unsafe self.reader = reader
    }

    deinit { unsafe fch_reader_free(reader) }

    /// Parses these bytes and calls `onReply` after each reply that is whole. What `onReply` does not take stays.
    mutating func parse(
        _ bytes: UnsafeRawBufferPointer, onReply: (inout ReplyReader) throws(RedisError) -> Void
    )
        throws(RedisError)
    {
        unsafe fch_reader_feed(reader, bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), bytes.count)
        while true {
            switch unsafe fch_reader_next(reader) {
            case 1: try onReply(&self)
            case 0: return
            default:
                let code: RedisError.Code =
                    unsafe fch_reader_is_too_large(reader) == 1 ? .replyTooLarge : .protocolBroken
                throw RedisError(code, unsafe String(cString: fch_reader_error(reader)))
            }
        }
    }

    /// Whether there is an error among what was parsed since the last take or drop.
    var hasErrors: Bool { unsafe fch_reader_error_count(reader) > 0 }

    /// The `count` replies that were parsed since the last take or drop.
    mutating func take(count: Int) -> RedisReplies {
        RedisReplies(storage: unsafe ReplyStorage.taking(from: reader), first: 0, count: count)
    }

    /// Forgets the replies that were parsed since the last take or drop.
    mutating func drop() { unsafe fch_reader_take(reader, nil, nil) }
}
