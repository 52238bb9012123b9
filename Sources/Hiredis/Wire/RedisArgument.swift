/// Something that can be one argument of a command: text or bytes, sent as they are.
public protocol RedisArgument {
    /// Appends this value as exactly one argument.
    func write(to command: inout CommandWriter)
}

/// Writes the arguments of one command in the server's protocol (RESP), into the pipeline's one buffer.
///
/// Bytes the caller already has (`[UInt8]`, slices, a `RedisBytes` of an earlier reply) are copied once, into the
/// buffer that goes to the socket.
public struct CommandWriter: ~Copyable {
    var bytes: [UInt8]
    var written = 0

    init(bytes: consuming [UInt8]) { self.bytes = bytes }

    // Overloads for the types that callers have, because a generic function of another module is not specialised: it
    // looks up metadata for each call, which was a third of a publisher's time.

    /// Appends text as one argument.
    public mutating func append(_ text: String) {
        var text = text
        text.withUTF8 { unsafe append(raw: UnsafeRawBufferPointer($0)) }
    }

    /// Appends text as one argument.
    public mutating func append(_ text: Substring) {
        var text = text
        text.withUTF8 { unsafe append(raw: UnsafeRawBufferPointer($0)) }
    }

    /// Appends a constant as one argument.
    public mutating func append(_ text: StaticString) {
        text.withUTF8Buffer { unsafe append(raw: UnsafeRawBufferPointer($0)) }
    }

    /// Appends a number in decimal as one argument.
    public mutating func append(_ number: Int) {
        append(String(number))
    }

    /// Appends bytes as one argument.
    public mutating func append(bytes argument: [UInt8]) {
        unsafe argument.withUnsafeBytes { unsafe append(raw: $0) }
    }

    /// Appends bytes as one argument.
    public mutating func append(bytes argument: ArraySlice<UInt8>) {
        unsafe argument.withUnsafeBytes { unsafe append(raw: $0) }
    }

    /// Appends bytes as one argument.
    public mutating func append(bytes argument: some Collection<UInt8>) {
        append(bytes: Array(argument))
    }

    /// Appends a slice of an earlier reply as one argument, without an array in between.
    public mutating func append(_ slice: RedisBytes) {
        unsafe slice.withUnsafeBytes { unsafe append(raw: $0) }
    }

    /// Appends bytes as one argument.
    package mutating func append(raw argument: UnsafeRawBufferPointer) {
        bytes.appendHeader(UInt8(ascii: "$"), argument.count)
        unsafe bytes.append(contentsOf: argument)
        bytes.append(UInt8(ascii: "\r"))
        bytes.append(UInt8(ascii: "\n"))
        written += 1
    }
}

extension CommandWriter {
    /// Appends the names and values of an entry, each as one argument, where the name is to be kept. In one piece: each append by itself
    /// looks whether there is room, which was a third of what a copy costs.
    package mutating func appendFields(
        of fields: RedisReplies, where isKept: (_ name: UnsafeRawBufferPointer) -> Bool
    ) {
        var (room, count) = (0, 0)
        unsafe fields.forEachField { name, value, _ in
            // `$`, at most twenty digits and two ends of lines.
            room += name.count + value.count + 50
        }
        unsafe withUnsafeTemporaryAllocation(byteCount: room, alignment: 8) { buffer in
            var end = 0
            func put(_ text: UnsafeRawBufferPointer) {
                unsafe end = buffer.storeHeader(text.count, at: end)
                if let source = text.baseAddress, let start = buffer.baseAddress {
                    unsafe (start + end).copyMemory(from: source, byteCount: text.count)
                }
                end += text.count
                unsafe buffer[end] = UInt8(ascii: "\r")
                unsafe buffer[end + 1] = UInt8(ascii: "\n")
                end += 2
                count += 1
            }
            unsafe fields.forEachField { name, value, _ in
                guard unsafe isKept(name) else { return }
                unsafe put(name)
                unsafe put(value)
            }
            unsafe bytes.append(contentsOf: UnsafeRawBufferPointer(rebasing: buffer[..<end]))
        }
        written += count
    }
}

extension UnsafeMutableRawBufferPointer {
    /// `$12` and the end of its line; returns the place behind it.
    fileprivate func storeHeader(_ number: Int, at start: Int) -> Int {
        unsafe self[start] = UInt8(ascii: "$")
        var digits = 1
        var power = 10
        while power <= number {
            power *= 10
            digits += 1
        }
        var rest = number
        for place in stride(from: digits, to: 0, by: -1) {
            unsafe self[start + place] = UInt8(ascii: "0") + UInt8(rest % 10)
            rest /= 10
        }
        unsafe self[start + digits + 1] = UInt8(ascii: "\r")
        unsafe self[start + digits + 2] = UInt8(ascii: "\n")
        return start + digits + 3
    }
}

extension [UInt8] {
    /// `$12` or `*12` and the end of its line, for a number from 0. In one word where it fits, because each append looks
    /// anew whether there is room.
    mutating func appendHeader(_ kind: UInt8, _ number: Int) {
        guard number < 100_000 else {
            append(kind)
            append(contentsOf: String(number).utf8)
            append(contentsOf: [UInt8(ascii: "\r"), UInt8(ascii: "\n")])
            return
        }
        var (digits, count, rest) = (UInt64(0), UInt64(0), UInt64(number))
        repeat {
            digits = digits << 8 | (UInt64(UInt8(ascii: "0")) + rest % 10)
            rest /= 10
            count += 1
        } while rest > 0
        let end = UInt64(UInt8(ascii: "\r")) | UInt64(UInt8(ascii: "\n")) << 8
        let word = UInt64(kind) | digits << 8 | end << (8 + 8 * count)
        unsafe Swift.withUnsafeBytes(of: word.littleEndian) {
            unsafe append(contentsOf: UnsafeRawBufferPointer(rebasing: $0[..<(Int(count) + 3)]))
        }
    }
}

extension String: RedisArgument {
    /// Appends this value as exactly one argument.
    public func write(to command: inout CommandWriter) { command.append(self) }
}

extension Substring: RedisArgument {
    /// Appends this value as exactly one argument.
    public func write(to command: inout CommandWriter) { command.append(self) }
}

extension Int: RedisArgument {
    /// Appends this value as exactly one argument.
    public func write(to command: inout CommandWriter) { command.append(self) }
}

extension [UInt8]: RedisArgument {
    /// Appends this value as exactly one argument.
    public func write(to command: inout CommandWriter) { command.append(bytes: self) }
}

extension ArraySlice<UInt8>: RedisArgument {
    /// Appends this value as exactly one argument.
    public func write(to command: inout CommandWriter) { command.append(bytes: self) }
}

extension RedisBytes: RedisArgument {
    /// Appends this value as exactly one argument.
    public func write(to command: inout CommandWriter) { command.append(self) }
}
