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

    /// Appends text as one argument.
    public mutating func append(_ text: some StringProtocol) {
        let utf8 = text.utf8
        header(count: utf8.count)
        bytes.append(contentsOf: utf8)
        trailer()
    }

    /// Appends a literal as one argument.
    public mutating func append(_ literal: StaticString) {
        header(count: literal.utf8CodeUnitCount)
        literal.withUTF8Buffer { unsafe bytes.append(contentsOf: $0) }
        trailer()
    }

    /// Appends a number in decimal as one argument.
    public mutating func append(_ number: some BinaryInteger) {
        append(String(number))
    }

    /// Appends bytes as one argument.
    public mutating func append(bytes argument: some Collection<UInt8>) {
        header(count: argument.count)
        bytes.append(contentsOf: argument)
        trailer()
    }

    /// Appends a slice of an earlier reply as one argument, without an array in between.
    public mutating func append(_ slice: RedisBytes) {
        header(count: slice.count)
        unsafe slice.withUnsafeBytes { unsafe bytes.append(contentsOf: $0) }
        trailer()
    }

    private mutating func header(count: Int) {
        bytes.append(UInt8(ascii: "$"))
        bytes.appendDecimal(count)
        trailer()
        written += 1
    }

    private mutating func trailer() {
        bytes.append(UInt8(ascii: "\r"))
        bytes.append(UInt8(ascii: "\n"))
    }
}

extension [UInt8] {
    mutating func appendDecimal(_ number: Int) {
        if number < 10 {
            append(UInt8(ascii: "0") + UInt8(number))
        } else if number < 100 {
            append(UInt8(ascii: "0") + UInt8(number / 10))
            append(UInt8(ascii: "0") + UInt8(number % 10))
        } else {
            append(contentsOf: String(number).utf8)
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
