/// Makes the ids of events.
public enum EventID {
    /// A UUID of version 7 (RFC 9562): sorts by the moment it was made, and is unique.
    public static func make(at time: Timestamp = .now()) -> String {
        var bytes = [UInt8](repeating: 0, count: 16)
        var random = SystemRandomNumberGenerator()
        let milliseconds = UInt64(bitPattern: time.milliseconds)
        for index in 0..<6 {
            bytes[index] = UInt8(truncatingIfNeeded: milliseconds >> UInt64(40 - 8 * index))
        }
        let (high, low) = (random.next() as UInt64, random.next() as UInt64)
        for index in 0..<8 { bytes[8 + index] = UInt8(truncatingIfNeeded: low >> UInt64(8 * index)) }
        bytes[6] = 0x70 | UInt8(truncatingIfNeeded: high) & 0x0f
        bytes[7] = UInt8(truncatingIfNeeded: high >> 8)
        bytes[8] = 0x80 | bytes[8] & 0x3f
        var text: [UInt8] = []
        text.reserveCapacity(36)
        for (index, byte) in bytes.enumerated() {
            if index == 4 || index == 6 || index == 8 || index == 10 { text.append(UInt8(ascii: "-")) }
            text.append(hexDigit(byte >> 4))
            text.append(hexDigit(byte & 15))
        }
        return String(decoding: text, as: UTF8.self)
    }

    private static func hexDigit(_ value: UInt8) -> UInt8 { value < 10 ? 48 + value : 87 + value }
}
