internal import Glibc

/// Where this program runs.
package enum Host {
    static let processID = Int(getpid())

    /// The host's name, with what a consumer's name may not hold left out.
    package static let name: String = {
        var buffer = [CChar](repeating: 0, count: 256)
        guard unsafe gethostname(&buffer, buffer.count - 1) == 0 else { return "host" }
        let text = buffer.prefix { $0 != 0 }.compactMap { byte -> Character? in
            let character = Character(UnicodeScalar(UInt8(bitPattern: byte)))
            return character.isASCII && (character.isLetter || character.isNumber || character == "-")
                ? character : nil
        }
        return text.isEmpty ? "host" : String(text.prefix(64))
    }()
}
