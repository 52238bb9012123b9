package import Freshet
package import Hiredis

extension HistoryLine {
    /// Appends an entry's line, with its end, without making a text of any field.
    package static func append(
        _ entry: StreamEntry, topic: TopicName? = nil, partition: Int? = nil, to bytes: inout [UInt8]
    ) {
        // A byte becomes six at most (\u0000), so that nothing below looks for room.
        var room = 160 + 6 * (topic?.rawValue.utf8.count ?? 0)
        unsafe entry.fields.forEachField { name, value, _ in
            room += 6 * (name.count + value.count) + 48
        }
        unsafe withUnsafeTemporaryAllocation(byteCount: room, alignment: 1) { buffer in
            guard let base = buffer.baseAddress else { return }
            let start = unsafe base.assumingMemoryBound(to: UInt8.self)
            var at = unsafe start
            unsafe put("{", &at)
            if let topic {
                unsafe put("\"topic\":", &at)
                var text = topic.rawValue
                text.withUTF8 { unsafe put(text: UnsafeRawBufferPointer($0), &at) }
                unsafe put(",", &at)
            }
            if let partition {
                unsafe put("\"partition\":", &at)
                unsafe put(number: UInt64(max(0, partition)), &at)
                unsafe put(",", &at)
            }
            unsafe put("\"id\":\"", &at)
            unsafe put(number: entry.id.milliseconds, &at)
            unsafe put("-", &at)
            unsafe put(number: entry.id.sequence, &at)
            unsafe put("\",\"fields\":[", &at)
            var isFirst = true
            unsafe entry.fields.forEachField { name, value, _ in
                if !isFirst { unsafe put(",", &at) }
                isFirst = false
                unsafe put(text: name, &at)
                unsafe put(",", &at)
                unsafe put(text: value, &at)
            }
            unsafe put("]}\n", &at)
            unsafe bytes.append(contentsOf: UnsafeRawBufferPointer(start: base, count: at - start))
        }
    }

    private static func put(_ text: StaticString, _ at: inout UnsafeMutablePointer<UInt8>) {
        unsafe at.update(from: text.utf8Start, count: text.utf8CodeUnitCount)
        unsafe at += text.utf8CodeUnitCount
    }

    private static func put(number: UInt64, _ at: inout UnsafeMutablePointer<UInt8>) {
        var (rest, count) = (number, 0)
        repeat {
            rest /= 10
            count += 1
        } while rest > 0
        rest = number
        for place in stride(from: count - 1, through: 0, by: -1) {
            unsafe at[place] = UInt8(ascii: "0") + UInt8(rest % 10)
            rest /= 10
        }
        unsafe at += count
    }

    /// A name or a value: a string, or what is no UTF-8 as base64.
    private static func put(text: UnsafeRawBufferPointer, _ at: inout UnsafeMutablePointer<UInt8>) {
        let start = unsafe at
        unsafe put("\"", &at)
        let isASCII = unsafe putEscaped(text, &at)
        unsafe put("\"", &at)
        guard !isASCII else { return }
        let isValid = unsafe text.withMemoryRebound(to: UInt8.self) { bytes in
            (try? UTF8Span(validating: unsafe bytes.span)) != nil
        }
        guard !isValid else { return }
        unsafe at = start
        unsafe put("{\"base64\":\"", &at)
        unsafe putBase64(text, &at)
        unsafe put("\"}", &at)
    }

    /// Eight bytes at a time, which are stored before they are looked at: most hold nothing to escape. Returns whether all
    /// are ASCII.
    private static func putEscaped(_ text: UnsafeRawBufferPointer, _ at: inout UnsafeMutablePointer<UInt8>)
        -> Bool
    {
        let (ones, highs) = (UInt64(0x0101_0101_0101_0101), UInt64(0x8080_8080_8080_8080))
        let (count, target) = unsafe (text.count, at)
        var (from, to, seen) = (0, 0, UInt64(0))
        while from + 8 <= count {
            let word = unsafe text.loadUnaligned(fromByteOffset: from, as: UInt64.self).littleEndian
            unsafe UnsafeMutableRawPointer(target + to).storeBytes(of: word.littleEndian, as: UInt64.self)
            let (quotes, slashes) = (word ^ (ones &* 0x22), word ^ (ones &* 0x5c))
            // The lowest marked byte is exact; what is marked above it may be a carry.
            let marks =
                ((word &- ones &* 0x20) & ~word | (quotes &- ones) & ~quotes | (slashes &- ones) & ~slashes)
                & highs
            let clean = marks == 0 ? 8 : marks.trailingZeroBitCount / 8
            seen |= clean == 8 ? word : word & ((1 << (UInt64(clean) * 8)) &- 1)
            from += clean
            to += clean
            if marks != 0 {
                to += unsafe escape(text[from], to: target + to)
                from += 1
            }
        }
        while from < count {
            let byte = unsafe text[from]
            seen |= UInt64(byte)
            if byte < 0x20 || byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") {
                to += unsafe escape(byte, to: target + to)
            } else {
                unsafe target[to] = byte
                to += 1
            }
            from += 1
        }
        unsafe at = target + to
        return seen & highs == 0
    }

    private static func escape(_ byte: UInt8, to target: UnsafeMutablePointer<UInt8>) -> Int {
        let short: UInt8? =
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"): byte
            case UInt8(ascii: "\n"): UInt8(ascii: "n")
            case UInt8(ascii: "\r"): UInt8(ascii: "r")
            case UInt8(ascii: "\t"): UInt8(ascii: "t")
            default: nil
            }
        if let short {
            unsafe target[0] = UInt8(ascii: "\\")
            unsafe target[1] = short
            return 2
        }
        unsafe UnsafeMutableRawPointer(target).copyMemory(
            from: ("\\u00" as StaticString).utf8Start, byteCount: 4)
        let digits: StaticString = "0123456789abcdef"
        unsafe target[4] = digits.utf8Start[Int(byte >> 4)]
        unsafe target[5] = digits.utf8Start[Int(byte & 15)]
        return 6
    }

    private static func putBase64(_ bytes: UnsafeRawBufferPointer, _ at: inout UnsafeMutablePointer<UInt8>) {
        let alphabet: StaticString = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
        for start in stride(from: 0, to: bytes.count, by: 3) {
            let left = min(3, bytes.count - start)
            var bits = UInt32(0)
            for index in 0..<3 { bits = bits << 8 | (index < left ? unsafe UInt32(bytes[start + index]) : 0) }
            for index in 0..<4 {
                let digit = Int(bits >> UInt32(18 - 6 * index)) & 63
                unsafe at[index] = index <= left ? alphabet.utf8Start[digit] : UInt8(ascii: "=")
            }
            unsafe at += 4
        }
    }
}
