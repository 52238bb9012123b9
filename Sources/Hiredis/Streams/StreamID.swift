/// Where an entry stands in a stream: the server's milliseconds and a sequence number. It is a position, never an
/// identity: after a failover or a restore the same id can name another entry.
public struct StreamID: Sendable, Hashable, Comparable, CustomStringConvertible {
    /// The server's clock when the entry was added, in milliseconds since 1970.
    public var milliseconds: UInt64
    /// Counts the entries of one millisecond.
    public var sequence: UInt64

    /// Before every entry.
    public static let zero = StreamID(milliseconds: 0, sequence: 0)
    /// Behind every entry.
    public static let newest = StreamID(milliseconds: .max, sequence: .max)

    /// The position with these parts.
    public init(milliseconds: UInt64, sequence: UInt64) {
        self.milliseconds = milliseconds
        self.sequence = sequence
    }

    /// `1700000000000-0`, or `1700000000000` for its first entry; nil when it is neither.
    public init?(_ text: some StringProtocol) {
        self.init(digits: text.utf8)
    }

    /// The id that these bytes spell, as text does; nil when they spell none.
    public init?(_ bytes: RedisBytes) {
        guard let id = unsafe bytes.withUnsafeBytes({ unsafe StreamID(digits: $0) }) else { return nil }
        self = id
    }

    private init?(digits: some Collection<UInt8>) {
        var (parts, part, count) = ((UInt64(0), UInt64(0)), 0, 0)
        for byte in digits {
            if byte == UInt8(ascii: "-"), part == 0, count > 0 {
                (part, count) = (1, 0)
                continue
            }
            let digit = byte &- UInt8(ascii: "0")
            guard digit < 10 else { return nil }
            let value = part == 0 ? parts.0 : parts.1
            let (shifted, isTooLarge) = value.multipliedReportingOverflow(by: 10)
            let (sum, isAlsoTooLarge) = shifted.addingReportingOverflow(UInt64(digit))
            if isTooLarge || isAlsoTooLarge { return nil }
            if part == 0 { parts.0 = sum } else { parts.1 = sum }
            count += 1
        }
        guard count > 0 else { return nil }
        self.init(milliseconds: parts.0, sequence: parts.1)
    }

    /// As Redis writes it.
    public var description: String { "\(milliseconds)-\(sequence)" }

    /// In the order of the stream.
    public static func < (left: StreamID, right: StreamID) -> Bool {
        (left.milliseconds, left.sequence) < (right.milliseconds, right.sequence)
    }

    /// The position just before this one; nil at the very first.
    public var predecessor: StreamID? {
        if sequence > 0 { return StreamID(milliseconds: milliseconds, sequence: sequence - 1) }
        return milliseconds > 0 ? StreamID(milliseconds: milliseconds - 1, sequence: .max) : nil
    }

    /// The position just behind this one; nil at the very last.
    public var successor: StreamID? {
        if sequence < .max { return StreamID(milliseconds: milliseconds, sequence: sequence + 1) }
        return milliseconds < .max ? StreamID(milliseconds: milliseconds + 1, sequence: 0) : nil
    }
}

extension StreamID: RedisArgument {
    /// Appends this value as exactly one argument.
    public func write(to command: inout CommandWriter) {
        // Not the description: a text of more than 15 bytes is an allocation, and a batch has hundreds of ids.
        unsafe withUnsafeTemporaryAllocation(byteCount: 41, alignment: 1) { buffer in
            var start = buffer.count
            func put(_ number: UInt64) {
                var rest = number
                repeat {
                    start -= 1
                    unsafe buffer[start] = UInt8(ascii: "0") + UInt8(rest % 10)
                    rest /= 10
                } while rest > 0
            }
            put(sequence)
            start -= 1
            unsafe buffer[start] = UInt8(ascii: "-")
            put(milliseconds)
            unsafe command.append(raw: UnsafeRawBufferPointer(rebasing: buffer[start...]))
        }
    }
}

extension StreamID: Codable {
    /// A position in a document, as Redis writes it.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let text = try container.decode(String.self)
        guard let id = StreamID(text) else {
            throw DecodingError.dataCorruptedError(
                in: container, debugDescription: "'\(text.prefix(60))' is no stream id")
        }
        self = id
    }

    /// As Redis writes it.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}

extension RedisReply {
    /// The stream id that a text spells; nil when the reply is something else.
    public var streamID: StreamID? { bytes.flatMap { StreamID($0) } }
}
