/// A text or blob of a reply: a slice of the reply's one buffer, which it keeps alive.
public struct RedisBytes: Sendable {
    let storage: ReplyStorage
    let range: Range<Int>

    /// Its length in bytes.
    public var count: Int { range.count }

    /// Whether there are no bytes.
    public var isEmpty: Bool { range.isEmpty }

    /// The bytes, for the time of the closure.
    public func withUnsafeBytes<R>(_ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
        try unsafe storage.withBytes(range, body)
    }

    /// The bytes as text, or nil when they are not UTF-8.
    public var validString: String? {
        unsafe withUnsafeBytes { unsafe String(validating: $0, as: UTF8.self) }
    }

    /// The bytes as text; what is not UTF-8 becomes U+FFFD.
    public var string: String {
        unsafe withUnsafeBytes { unsafe String(decoding: $0, as: UTF8.self) }
    }

    /// A copy of the bytes.
    public var array: [UInt8] {
        unsafe withUnsafeBytes { unsafe Array($0) }
    }

    /// The number that the bytes spell in decimal, or nil.
    public var integer: Int? { count <= 20 ? Int(string) : nil }

    /// Whether the bytes are exactly this text.
    public static func == (bytes: RedisBytes, text: StaticString) -> Bool {
        guard bytes.count == text.utf8CodeUnitCount else { return false }
        return unsafe bytes.withUnsafeBytes { own in
            text.withUTF8Buffer { unsafe own.elementsEqual($0) }
        }
    }
}
