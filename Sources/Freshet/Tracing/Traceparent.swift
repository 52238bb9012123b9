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
            let version = unsafe pair(bytes, 0), let high = unsafe number(bytes, 3),
            let low = unsafe number(bytes, 19), let span = unsafe number(bytes, 36),
            let flags = unsafe pair(bytes, 53),
            version != 255, high | low != 0, span != 0
        else { return nil }
        guard unsafe bytes.count == 55 || version > 0 && bytes[55] == 0x2d else { return nil }
        return (Traceparent(high, low, span, flags), version)
    }

    /// Of sixteen lower-case digits of base 16; nil when there are others.
    private static func number(_ bytes: UnsafeRawBufferPointer, _ start: Int) -> UInt64? {
        guard let high = unsafe digits(bytes.loadUnaligned(fromByteOffset: start, as: UInt64.self)),
            let low = unsafe digits(bytes.loadUnaligned(fromByteOffset: start + 8, as: UInt64.self))
        else { return nil }
        return high << 32 | low
    }

    /// Of two.
    private static func pair(_ bytes: UnsafeRawBufferPointer, _ start: Int) -> UInt64? {
        let zeros: UInt64 = 0x3030_3030_3030
        let pair = unsafe UInt64(bytes.loadUnaligned(fromByteOffset: start, as: UInt16.self).littleEndian)
        return digits((pair << 48 | zeros).littleEndian)
    }

    /// The value of eight digits, all at once: one by one they took 2 % of the time of delivering an event
    /// (`perf`, `bench delivery --with traces`).
    private static func digits(_ text: UInt64) -> UInt64? {
        // The first digit is the highest byte. In each byte: 0 to 9 is 0x30 and more, a to f is 0x61 and more.
        let text = text.bigEndian
        let letters = text >> 6 & 0x0101_0101_0101_0101
        let low = text & 0x0f0f_0f0f_0f0f_0f0f
        let tooLarge = (low + 0x0606_0606_0606_0606 + letters * 3) & 0x1010_1010_1010_1010
        let notZero = (low + 0x0f0f_0f0f_0f0f_0f0f) >> 4
        guard text & 0xf0f0_f0f0_f0f0_f0f0 == 0x3030_3030_3030_3030 + letters * 0x30, tooLarge == 0,
            letters & ~notZero == 0
        else { return nil }
        var value = low + letters * 9
        value = (value | value >> 4) & 0x00ff_00ff_00ff_00ff
        value = (value | value >> 8) & 0x0000_ffff_0000_ffff
        return (value | value >> 16) & 0xffff_ffff
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

    /// What can be read of it.
    var read: Traceparent? {
        switch self {
        case .none: nil
        case .known(let trace): trace
        case .other(let text): Traceparent(text)
        }
    }

    /// Whether it is that of a trace which is not recorded.
    var isUnrecorded: Bool { read?.isSampled == false }

    var isNone: Bool { if case .none = self { true } else { false } }
}
