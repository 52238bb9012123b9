internal import FreshetService
internal import Glibc

/// The bytes of a file, one after the other, from a small buffer: memory stays the same however long the file is.
final class ByteReader {
    private let descriptor: Int32
    private var buffer: [UInt8]
    private var position = 0
    private var end = 0
    private var isAtEnd = false

    /// - Parameter chunk: how many bytes are read at a time.
    init(path: String, name: String, chunk: Int = 64 * 1024) throws(ToolError) {
        descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
        buffer = [UInt8](repeating: 0, count: max(1, chunk))
        guard descriptor >= 0 else {
            throw ToolError(.badData, "cannot read '\(name)': \(unsafe String(cString: strerror(errno)))")
        }
        var information = stat()
        if unsafe fstat(descriptor, &information) == 0, information.st_mode & S_IFMT == S_IFDIR {
            throw ToolError(.badData, "cannot read '\(name)': it is a folder")
        }
    }

    deinit { if descriptor >= 0 { close(descriptor) } }

    func peek() -> UInt8? {
        if position == end {
            guard !isAtEnd else { return nil }
            let count = unsafe read(descriptor, &buffer, buffer.count)
            (position, end) = (0, max(0, count))
            if end == 0 {
                isAtEnd = true
                return nil
            }
        }
        return buffer[position]
    }

    func next() -> UInt8? {
        guard let byte = peek() else { return nil }
        position += 1
        return byte
    }
}
