internal import Glibc

/// A file that is read from its beginning to its end, or standard input; closed when nobody refers to it.
final class InputFile {
    private static let chunkSize = 65_536
    private let path: String
    private let descriptor: Int32

    /// The file at this path, or standard input for "-".
    init(path: String) throws(OrderFileError) {
        let opened = path == "-" ? STDIN_FILENO : unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard opened >= 0 else { throw Self.failure(path, errno) }
        self.path = path
        descriptor = opened
    }

    deinit {
        if descriptor != STDIN_FILENO { close(descriptor) }
    }

    /// What comes next, as much of it as there is by now; empty at the end. Waits for a pipe's other side.
    func nextChunk() throws(OrderFileError) -> [UInt8] {
        var error: Int32 = 0
        let chunk = unsafe [UInt8](unsafeUninitializedCapacity: Self.chunkSize) { buffer, initialized in
            var count = 0
            repeat {
                count = unsafe read(descriptor, buffer.baseAddress, buffer.count)
                error = count < 0 ? errno : 0
            } while error == EINTR
            initialized = max(0, count)
        }
        guard error == 0 else { throw Self.failure(path, error) }
        return chunk
    }

    private static func failure(_ path: String, _ error: Int32) -> OrderFileError {
        .unreadable(path: path, reason: unsafe String(cString: strerror(error)))
    }
}
