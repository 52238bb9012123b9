internal import Freshet
internal import Hiredis

/// Reads one line of JSON, the names and values straight into where they stay.
struct HistoryLineParser {
    private let bytes: [UInt8]
    private let start: Int
    private let end: Int
    private var at: Int

    init(_ bytes: [UInt8], _ range: Range<Int>) {
        self.bytes = bytes
        start = range.lowerBound
        at = start
        end = range.upperBound
    }

    mutating func parse(lengths: inout [Int], texts: inout [UInt8]) throws(FreshetError) -> (
        id: StreamID, topic: TopicName?, partition: Int?
    ) {
        var (id, topic, partition): (StreamID?, TopicName?, Int?)
        var hasFields = false
        try expect("{", "the line is no JSON object")
        repeat {
            let name = try shortText()
            try expect(":", "no ':' after '\(name)'")
            switch name {
            case "id" where id == nil:
                let text = try shortText()
                guard text.contains("-"), let value = StreamID(text) else {
                    throw fault("'\(text.prefix(60))' is no stream id")
                }
                id = value
            case "fields" where !hasFields:
                hasFields = true
                try fields(&lengths, &texts)
            case "topic" where topic == nil:
                do { topic = try TopicName(checking: shortText()) } catch { throw fault(error.message) }
            case "partition" where partition == nil: partition = try number()
            case "id", "fields", "topic", "partition": throw fault("'\(name)' is there twice")
            default: throw fault("the member '\(name.prefix(60))' means nothing")
            }
        } while take(",")
        try expect("}", "the object does not end")
        skipSpace()
        guard at == end else { throw fault("something follows the object") }
        guard let id else { throw fault("'id' is missing") }
        guard hasFields else { throw fault("'fields' is missing") }
        return (id, topic, partition)
    }

    private mutating func fields(_ lengths: inout [Int], _ texts: inout [UInt8]) throws(FreshetError) {
        try expect("[", "'fields' is no array")
        var count = 0
        repeat {
            skipSpace()
            let before = texts.count
            if take("{") {
                guard try shortText() == "base64" else {
                    throw fault("a value is neither a string nor base64")
                }
                try expect(":", "no ':' after 'base64'")
                try base64(into: &texts)
                try expect("}", "something follows the base64")
            } else {
                try text(into: &texts)
            }
            lengths.append(texts.count - before)
            count += 1
        } while take(",")
        try expect("]", "'fields' does not end")
        guard count.isMultiple(of: 2) else { throw fault("'fields' has a name without a value") }
    }

    // MARK: - Values

    private mutating func shortText() throws(FreshetError) -> String {
        var text: [UInt8] = []
        try self.text(into: &text)
        return String(decoding: text, as: UTF8.self)
    }

    private mutating func number() throws(FreshetError) -> Int {
        skipSpace()
        var (value, digits) = (0, 0)
        while at < end, case let digit = bytes[at] &- UInt8(ascii: "0"), digit < 10, digits < 9 {
            value = value * 10 + Int(digit)
            digits += 1
            at += 1
        }
        guard digits > 0 else { throw fault("'partition' is no whole number from 0") }
        return value
    }

    private mutating func text(into texts: inout [UInt8]) throws(FreshetError) {
        try expect("\"", "a value is neither a string nor base64")
        var isASCII = true
        let before = texts.count
        while true {
            let run = plainRun()
            unsafe bytes.withUnsafeBytes { all in
                unsafe texts.append(contentsOf: UnsafeRawBufferPointer(rebasing: all[at..<at + run.count]))
            }
            at += run.count
            isASCII = isASCII && run.isASCII
            guard at < end else { throw fault("a string does not end") }
            let byte = bytes[at]
            at += 1
            if byte == UInt8(ascii: "\"") { break }
            guard byte == UInt8(ascii: "\\") else {
                at -= 1
                throw fault("a control character in a string")
            }
            try escape(into: &texts)
        }
        guard isASCII || (try? UTF8Span(validating: texts.span.extracting(before..<texts.count))) != nil
        else {
            throw fault("a string is no UTF-8")
        }
    }

    /// How many bytes from here on stand for themselves.
    private func plainRun() -> (count: Int, isASCII: Bool) {
        unsafe bytes.withUnsafeBytes { all in
            let (ones, highs) = (UInt64(0x0101_0101_0101_0101), UInt64(0x8080_8080_8080_8080))
            var (to, seen) = (at, UInt64(0))
            while to + 8 <= end {
                let word = unsafe all.loadUnaligned(fromByteOffset: to, as: UInt64.self).littleEndian
                let (quotes, slashes) = (word ^ (ones &* 0x22), word ^ (ones &* 0x5c))
                let marks =
                    ((word &- ones &* 0x20) & ~word | (quotes &- ones) & ~quotes
                        | (slashes &- ones) & ~slashes) & highs
                if marks != 0 { break }
                seen |= word
                to += 8
            }
            while to < end, case let byte = unsafe all[to], byte >= 0x20, byte != UInt8(ascii: "\""),
                byte != UInt8(ascii: "\\")
            {
                seen |= UInt64(byte)
                to += 1
            }
            return (to - at, seen & highs == 0)
        }
    }

    private mutating func escape(into texts: inout [UInt8]) throws(FreshetError) {
        guard at < end else { throw fault("a string does not end") }
        let byte = bytes[at]
        at += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): texts.append(byte)
        case UInt8(ascii: "n"): texts.append(UInt8(ascii: "\n"))
        case UInt8(ascii: "r"): texts.append(UInt8(ascii: "\r"))
        case UInt8(ascii: "t"): texts.append(UInt8(ascii: "\t"))
        case UInt8(ascii: "b"): texts.append(8)
        case UInt8(ascii: "f"): texts.append(12)
        case UInt8(ascii: "u"):
            var value = try codeUnit()
            if value & 0xfc00 == 0xd800 {
                guard at + 1 < end, bytes[at] == UInt8(ascii: "\\"), bytes[at + 1] == UInt8(ascii: "u") else {
                    throw fault("half a surrogate pair")
                }
                at += 2
                let low = try codeUnit()
                guard low & 0xfc00 == 0xdc00 else { throw fault("half a surrogate pair") }
                value = 0x10000 + (value - 0xd800) << 10 + (low - 0xdc00)
            }
            guard let scalar = Unicode.Scalar(value) else { throw fault("half a surrogate pair") }
            texts.append(contentsOf: UTF8.encode(scalar) ?? UTF8.encodedReplacementCharacter)
        default: throw fault("an escape that JSON does not have")
        }
    }

    private mutating func codeUnit() throws(FreshetError) -> UInt32 {
        guard at + 4 <= end else { throw fault("a string does not end") }
        var value = UInt32(0)
        for _ in 0..<4 {
            guard let digit = Character(Unicode.Scalar(bytes[at])).hexDigitValue else {
                throw fault("\\u without four digits")
            }
            value = value << 4 | UInt32(digit)
            at += 1
        }
        return value
    }

    /// With its padding, as it is written.
    private mutating func base64(into texts: inout [UInt8]) throws(FreshetError) {
        try expect("\"", "'base64' is no string")
        var (bits, digits, padding) = (UInt32(0), 0, 0)
        while at < end, bytes[at] != UInt8(ascii: "\"") {
            let byte = bytes[at]
            let digit: UInt8? =
                switch byte {
                case UInt8(ascii: "A")...UInt8(ascii: "Z"): byte - UInt8(ascii: "A")
                case UInt8(ascii: "a")...UInt8(ascii: "z"): byte - UInt8(ascii: "a") + 26
                case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0") + 52
                case UInt8(ascii: "+"): 62
                case UInt8(ascii: "/"): 63
                default: nil
                }
            if byte == UInt8(ascii: "="), digits % 4 + padding >= 2 {
                padding += 1
            } else {
                guard let digit, padding == 0 else { throw fault("a character that is not base64's") }
                bits = bits << 6 | UInt32(digit)
                digits += 1
                if digits.isMultiple(of: 4) {
                    texts += [UInt8(truncatingIfNeeded: bits >> 16), UInt8(truncatingIfNeeded: bits >> 8)]
                    texts.append(UInt8(truncatingIfNeeded: bits))
                }
            }
            at += 1
        }
        try expect("\"", "base64 does not end")
        switch (digits % 4, padding) {
        case (0, 0): break
        case (2, 2): texts.append(UInt8(truncatingIfNeeded: bits >> 4))
        case (3, 1): texts += [UInt8(truncatingIfNeeded: bits >> 10), UInt8(truncatingIfNeeded: bits >> 2)]
        default: throw fault("base64 of a length that it cannot have")
        }
    }

    // MARK: - Signs

    private mutating func skipSpace() {
        while at < end, bytes[at] == 0x20 || (0x09...0x0d).contains(bytes[at]) { at += 1 }
    }

    private mutating func take(_ sign: Unicode.Scalar) -> Bool {
        skipSpace()
        guard at < end, bytes[at] == UInt8(ascii: sign) else { return false }
        at += 1
        return true
    }

    private mutating func expect(_ sign: Unicode.Scalar, _ problem: @autoclosure () -> String)
        throws(FreshetError)
    {
        guard take(sign) else { throw fault(problem()) }
    }

    private func fault(_ problem: String) -> FreshetError {
        FreshetError(.invalidData, "\(problem) (at byte \(at - start + 1))")
    }
}
