/// Whether bytes are one JSON text (RFC 8259), to the letter: a decoder that is made for a type may pass over what it
/// does not look at.
struct JSONSyntax {
    private let bytes: [UInt8]
    private var position = 0
    private var depth = 0

    private struct Fault: Error { let reason: String }

    /// Why these bytes are no JSON, and where; nil when they are.
    static func fault(in bytes: [UInt8]) -> String? {
        guard String(validating: bytes, as: UTF8.self) != nil else { return "not JSON: not UTF-8" }
        var syntax = JSONSyntax(bytes: bytes)
        do throws(Fault) {
            try syntax.value()
            syntax.skipSpace()
            guard syntax.position == bytes.count else { throw Fault(reason: "text behind the value") }
            return nil
        } catch {
            return "not JSON: \(error.reason) at byte \(syntax.position + 1)"
        }
    }

    /// Whether there is nothing but white space.
    static func isBlank(_ bytes: [UInt8]) -> Bool { bytes.allSatisfy(isSpace) }

    private init(bytes: [UInt8]) { self.bytes = bytes }

    private var next: UInt8? { position < bytes.count ? bytes[position] : nil }

    private static func isSpace(_ byte: UInt8) -> Bool {
        byte == 0x20 || byte == 0x09 || byte == 0x0a || byte == 0x0d
    }

    private mutating func skipSpace() {
        while let next, Self.isSpace(next) { position += 1 }
    }

    private mutating func skip(_ byte: Unicode.Scalar) -> Bool {
        guard let next, UInt32(next) == byte.value else { return false }
        position += 1
        return true
    }

    private mutating func value() throws(Fault) {
        skipSpace()
        switch next {
        case nil: throw Fault(reason: "a value is missing")
        case UInt8(ascii: "{"): try members(end: "}") { syntax throws(Fault) in try syntax.member() }
        case UInt8(ascii: "["): try members(end: "]") { syntax throws(Fault) in try syntax.value() }
        case UInt8(ascii: "\""): try string()
        case UInt8(ascii: "t"): try word("true")
        case UInt8(ascii: "f"): try word("false")
        case UInt8(ascii: "n"): try word("null")
        default: try number()
        }
    }

    private mutating func members(
        end: Unicode.Scalar, _ member: (inout JSONSyntax) throws(Fault) -> Void
    ) throws(Fault) {
        position += 1
        depth += 1
        guard depth <= 512 else { throw Fault(reason: "nested too deep") }
        defer { depth -= 1 }
        skipSpace()
        if skip(end) { return }
        while true {
            try member(&self)
            skipSpace()
            if skip(end) { return }
            guard skip(",") else { throw Fault(reason: "neither ',' nor '\(end)'") }
        }
    }

    private mutating func member() throws(Fault) {
        skipSpace()
        guard next == UInt8(ascii: "\"") else { throw Fault(reason: "a member without a name") }
        try string()
        skipSpace()
        guard skip(":") else { throw Fault(reason: "no ':'") }
        try value()
    }

    private mutating func string() throws(Fault) {
        position += 1
        while let byte = next {
            switch byte {
            case UInt8(ascii: "\""):
                position += 1
                return
            case UInt8(ascii: "\\"):
                position += 1
                try escape()
            case 0..<0x20: throw Fault(reason: "a control character in a string")
            default: position += 1
            }
        }
        throw Fault(reason: "a string without an end")
    }

    private mutating func escape() throws(Fault) {
        if skip("u") {
            for _ in 0..<4 {
                guard let digit = next, Character(UnicodeScalar(digit)).isHexDigit else {
                    throw Fault(reason: "no four hexadecimal digits behind '\\u'")
                }
                position += 1
            }
            return
        }
        guard let byte = next, #""\/bfnrt"#.utf8.contains(byte) else { throw Fault(reason: "no escape") }
        position += 1
    }

    private mutating func word(_ word: String) throws(Fault) {
        for scalar in word.unicodeScalars {
            guard skip(scalar) else { throw Fault(reason: "not '\(word)'") }
        }
    }

    private mutating func number() throws(Fault) {
        _ = skip("-")
        if !skip("0") { try digits() }
        if skip(".") { try digits() }
        if skip("e") || skip("E") {
            _ = skip("+") || skip("-")
            try digits()
        }
    }

    private mutating func digits() throws(Fault) {
        guard let first = next, (48...57).contains(first) else { throw Fault(reason: "no value") }
        while let digit = next, (48...57).contains(digit) { position += 1 }
    }
}
