internal import Hiredis

/// A `traceparent` of W3C Trace Context, read.
package struct Traceparent: Sendable {
    /// The id of the trace.
    package let traceID: (high: UInt64, low: UInt64)
    /// The id of the span that it was written in.
    package let spanID: UInt64
    /// The flags, of which the lowest bit says whether the trace is recorded.
    package let flags: UInt8

    /// Whether the trace is recorded.
    package var isSampled: Bool { flags & 1 == 1 }

    /// What a span says of itself.
    package init(traceID: (high: UInt64, low: UInt64), spanID: UInt64, isSampled: Bool) {
        self.traceID = traceID
        self.spanID = spanID
        flags = isSampled ? 1 : 0
    }

    /// Nil when the text is none. Of a newer version what version 00 has is read.
    package init?(_ text: String) {
        var text = text
        guard let read = text.withUTF8({ unsafe Self.read(UnsafeRawBufferPointer($0)) }) else { return nil }
        self = read.0
    }

    /// Nil when the bytes are none of version 00: `text` would be another one.
    init?(utf8 bytes: UnsafeRawBufferPointer) {
        guard let read = unsafe Self.read(bytes), read.version == 0 else { return nil }
        self = read.0
    }

    private init(_ high: UInt64, _ low: UInt64, _ span: UInt64, _ flags: UInt64) {
        traceID = (high, low)
        spanID = span
        self.flags = UInt8(truncatingIfNeeded: flags)
    }

    private static func read(_ bytes: UnsafeRawBufferPointer) -> (Traceparent, version: UInt64)? {
        guard bytes.count >= 55, unsafe bytes[2] == 0x2d, unsafe bytes[35] == 0x2d, unsafe bytes[52] == 0x2d,
            let version = unsafe number(bytes, 0, 2), let high = unsafe number(bytes, 3, 16),
            let low = unsafe number(bytes, 19, 16), let span = unsafe number(bytes, 36, 16),
            let flags = unsafe number(bytes, 53, 2),
            version != 255, high | low != 0, span != 0
        else { return nil }
        guard unsafe bytes.count == 55 || version > 0 && bytes[55] == 0x2d else { return nil }
        return (Traceparent(high, low, span, flags), version)
    }

    /// Of lower-case digits of base 16; nil when there are others.
    private static func number(_ bytes: UnsafeRawBufferPointer, _ start: Int, _ count: Int) -> UInt64? {
        var value: UInt64 = 0
        for index in start..<start + count {
            let byte = unsafe bytes[index]
            switch byte {
            case 0x30...0x39: value = value << 4 | UInt64(byte - 0x30)
            case 0x61...0x66: value = value << 4 | UInt64(byte - 0x57)
            default: return nil
            }
        }
        return value
    }

    /// As it travels, in version 00.
    package var text: String {
        unsafe String(unsafeUninitializedCapacity: 55) { bytes in
            unsafe Self.write(0, 2, to: bytes, at: 0)
            unsafe bytes[2] = 0x2d
            unsafe Self.write(traceID.high, 16, to: bytes, at: 3)
            unsafe Self.write(traceID.low, 16, to: bytes, at: 19)
            unsafe bytes[35] = 0x2d
            unsafe Self.write(spanID, 16, to: bytes, at: 36)
            unsafe bytes[52] = 0x2d
            unsafe Self.write(UInt64(flags), 2, to: bytes, at: 53)
            return 55
        }
    }

    private static func write(
        _ value: UInt64, _ count: Int, to bytes: UnsafeMutableBufferPointer<UInt8>, at start: Int
    ) {
        for index in 0..<count {
            let digit = UInt8(truncatingIfNeeded: value >> UInt64(4 * (count - 1 - index)) & 15)
            unsafe bytes[start + index] = digit < 10 ? 0x30 + digit : 0x57 + digit
        }
    }
}

/// What an event says of the trace in which it was published.
///
/// Mostly a `traceparent` of version 00, kept as the numbers that it is: an event is copied often, which costs a reference count for
/// each text in it, and few of those who handle it want this one.
enum PublishedTrace: Sendable {
    case none
    case known(Traceparent)
    /// Of another version, or none at all: it goes on as it came.
    case other(String)

    init(_ text: String?) {
        guard var text else {
            self = .none
            return
        }
        let known = text.withUTF8 { unsafe Traceparent(utf8: UnsafeRawBufferPointer($0)) }
        self = known.map { .known($0) } ?? .other(text)
    }

    var text: String? {
        switch self {
        case .none: nil
        case .known(let trace): trace.text
        case .other(let text): text
        }
    }

    /// Whether it is that of a trace which is not recorded.
    var isUnrecorded: Bool {
        switch self {
        case .none: false
        case .known(let trace): !trace.isSampled
        case .other(let text): Traceparent(text)?.isSampled == false
        }
    }

    var isNone: Bool { if case .none = self { true } else { false } }
}
