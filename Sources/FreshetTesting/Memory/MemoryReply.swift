typealias Bytes = [UInt8]

/// A reply as RESP2 has it.
enum MemoryReply: Equatable {
    case status(String)
    case integer(Int)
    case bulk(Bytes)
    case null
    case nullArray
    case array([MemoryReply])
    /// As it stands on the wire.
    case raw(Bytes)
    /// Begins with its code.
    case error(String)

    static let ok = MemoryReply.status("OK")
    static func text(_ text: String) -> MemoryReply { .bulk(Array(text.utf8)) }
    static func texts(_ texts: [String]) -> MemoryReply { .array(texts.map(MemoryReply.text)) }

    func write(to bytes: inout Bytes) {
        switch self {
        case .status(let text): bytes += "+\(text)\r\n".utf8
        case .integer(let number): bytes += ":\(number)\r\n".utf8
        case .bulk(let value):
            bytes += "$\(value.count)\r\n".utf8
            bytes += value
            bytes += "\r\n".utf8
        case .null: bytes += "$-1\r\n".utf8
        case .nullArray: bytes += "*-1\r\n".utf8
        case .array(let elements):
            bytes += "*\(elements.count)\r\n".utf8
            for element in elements { element.write(to: &bytes) }
        case .raw(let reply): bytes += reply
        case .error(let text): bytes += "-\(text)\r\n".utf8
        }
    }
}

/// A command that cannot be done; becomes an error reply.
struct MemoryError: Error {
    let text: String

    init(_ text: String) { self.text = text }

    static let syntax = MemoryError("ERR syntax error")
    static let notAnInteger = MemoryError("ERR value is not an integer or out of range")
    static let wrongType = MemoryError("WRONGTYPE Operation against a key holding the wrong kind of value")
    static let invalidID = MemoryError("ERR Invalid stream ID specified as stream command argument")
    static let noSuchKey = MemoryError("ERR no such key")

    static func arguments(of name: String) -> MemoryError {
        MemoryError("ERR wrong number of arguments for '\(name.lowercased())' command")
    }
}

/// What has come of a connection's requests.
struct MemoryRequests {
    private var bytes: Bytes = []
    private var position = 0

    mutating func append(_ more: some Sequence<UInt8>) {
        if position > 0 {
            bytes.removeFirst(position)
            position = 0
        }
        bytes += more
    }

    /// The next whole request; nil when there is none yet.
    mutating func next() throws(MemoryError) -> [Bytes]? {
        var end = position
        guard let count = try number("*", &end) else { return nil }
        var arguments: [Bytes] = []
        arguments.reserveCapacity(count)
        for _ in 0..<count {
            guard let length = try number("$", &end) else { return nil }
            guard end + length + 2 <= bytes.count else { return nil }
            arguments.append(Array(bytes[end..<end + length]))
            end += length + 2
        }
        position = end
        return arguments
    }

    private func number(_ type: Character, _ end: inout Int) throws(MemoryError) -> Int? {
        guard let newline = bytes[end...].firstIndex(of: UInt8(ascii: "\n")) else { return nil }
        guard bytes[end] == type.asciiValue,
            let number = Int(String(decoding: bytes[(end + 1)..<(newline - 1)], as: UTF8.self)), number >= 0
        else { throw MemoryError("ERR Protocol error") }
        end = newline + 1
        return number
    }
}

/// The arguments of a command, taken one after the other.
struct MemoryArguments {
    let name: String
    private var rest: ArraySlice<Bytes>

    /// Of a whole request, which is not empty.
    init(_ request: [Bytes]) {
        name = request[0].text.uppercased()
        rest = request.dropFirst()
    }

    var isEmpty: Bool { rest.isEmpty }
    var count: Int { rest.count }
    var all: [Bytes] { Array(rest) }

    mutating func bytes() throws(MemoryError) -> Bytes {
        guard let first = rest.popFirst() else { throw .arguments(of: name) }
        return first
    }

    mutating func text() throws(MemoryError) -> String { try bytes().text }

    mutating func integer() throws(MemoryError) -> Int {
        guard let number = Int(try text()) else { throw .notAnInteger }
        return number
    }

    /// Takes the word when it is the next one, in any case.
    mutating func take(_ word: String) -> Bool {
        guard let first = rest.first, first.text.uppercased() == word else { return false }
        rest.removeFirst()
        return true
    }
}

extension Bytes {
    var text: String { String(decoding: self, as: UTF8.self) }
}
