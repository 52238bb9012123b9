internal import Glibc

/// Values that are the same in event after event, so that each is made into a text once.
struct KnownTexts {
    struct Text {
        private var last: String

        init(_ first: String = "") { last = first }

        /// The bytes as text; nil when they are not UTF-8.
        mutating func read(_ bytes: UnsafeRawBufferPointer) -> String? {
            if unsafe last.isSpelled(by: bytes) { return last }
            guard let text = unsafe String(utf8: bytes) else { return nil }
            last = text
            return text
        }
    }
    var specVersion = Text("1.0")
    var version = Text("1")
    var contentType = Text("application/json")
    var source = Text()
    var type = Text()
}

extension UnsafeRawBufferPointer {
    /// Whether these are the bytes of a text of the same length.
    func spells(_ text: StaticString) -> Bool {
        guard let base = baseAddress else { return count == 0 }
        return unsafe memcmp(base, text.utf8Start, count) == 0
    }
}

extension String {
    /// The bytes as text; nil when they are not UTF-8.
    init?(utf8 bytes: UnsafeRawBufferPointer) {
        var (high, index) = (UInt64(0), 0)
        while index + 8 <= bytes.count {
            unsafe high |= bytes.loadUnaligned(fromByteOffset: index, as: UInt64.self)
            index += 8
        }
        while index < bytes.count {
            unsafe high |= UInt64(bytes[index])
            index += 1
        }
        guard high & 0x8080_8080_8080_8080 == 0 else {
            // Generic code of the standard library, that looks up metadata each time.
            guard let text = unsafe String(validating: bytes, as: UTF8.self) else { return nil }
            self = text
            return
        }
        self = unsafe String(unsafeUninitializedCapacity: bytes.count) { buffer in
            unsafe UnsafeMutableRawBufferPointer(buffer).copyMemory(from: bytes)
            return bytes.count
        }
    }

    func isSpelled(by bytes: UnsafeRawBufferPointer) -> Bool {
        var copy = self
        return copy.withUTF8 { own in
            guard own.count == bytes.count else { return false }
            guard let base = bytes.baseAddress, let start = own.baseAddress else { return true }
            return unsafe memcmp(base, start, bytes.count) == 0
        }
    }
}
