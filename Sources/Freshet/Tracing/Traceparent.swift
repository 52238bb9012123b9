/// A `traceparent` of W3C Trace Context, read.
package struct Traceparent: Sendable {
    /// The id of the trace.
    package let traceID: (high: UInt64, low: UInt64)
    /// The id of the span that it was written in.
    package let spanID: UInt64
    /// Whether the trace is recorded.
    package let isSampled: Bool

    /// Nil when the text is none. Of a newer version what version 00 has is read.
    package init?(_ text: String) {
        var text = text
        let parts = text.withUTF8 {
            bytes -> (version: UInt64, high: UInt64, low: UInt64, span: UInt64, flags: UInt64)? in
            guard bytes.count >= 55, unsafe bytes[2] == 0x2d, unsafe bytes[35] == 0x2d,
                unsafe bytes[52] == 0x2d, let version = unsafe Self.number(bytes, 0, 2),
                let high = unsafe Self.number(bytes, 3, 16), let low = unsafe Self.number(bytes, 19, 16),
                let span = unsafe Self.number(bytes, 36, 16), let flags = unsafe Self.number(bytes, 53, 2)
            else { return nil }
            let isWhole = unsafe bytes.count == 55 || version > 0 && bytes[55] == 0x2d
            return isWhole ? (version, high, low, span, flags) : nil
        }
        guard let parts, parts.version != 255, parts.high | parts.low != 0, parts.span != 0 else {
            return nil
        }
        traceID = (parts.high, parts.low)
        spanID = parts.span
        isSampled = parts.flags & 1 == 1
    }

    /// Of lower-case digits of base 16; nil when there are others.
    private static func number(_ bytes: UnsafeBufferPointer<UInt8>, _ start: Int, _ count: Int) -> UInt64? {
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
}
