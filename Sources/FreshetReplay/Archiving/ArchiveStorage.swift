internal import Glibc

/// Files as an archive needs them: what was written is there after a crash, or is not there at all. Nothing but plain
/// writing, reading and the renaming of small files, so that a mounted bucket will do.
enum ArchiveStorage {
    static func makeFolder(_ path: String) throws(ArchiveError) {
        var made = path.hasPrefix("/") ? "" : "."
        for part in path.split(separator: "/") {
            let parent = made.isEmpty ? "/" : made
            made += "/\(part)"
            if unsafe mkdir(made, 0o755) == 0 {
                try syncFolder(parent)
            } else if errno != EEXIST {
                throw failure("cannot make the folder '\(path)'")
            }
        }
    }

    /// Some file systems that are mounted over a network cannot do this, and have nothing to lose.
    static func syncFolder(_ path: String) throws(ArchiveError) {
        let descriptor = unsafe open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw failure("cannot open '\(path)'") }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 || errno == EINVAL || errno == ENOTSUP else {
            throw failure("cannot write to '\(path)'")
        }
    }

    /// The names in a folder, sorted; none when it is not there.
    static func names(in folder: String) throws(ArchiveError) -> [String] {
        guard let stream = unsafe opendir(folder) else {
            if errno == ENOENT || errno == ENOTDIR { return [] }
            throw failure("cannot read the folder '\(folder)'")
        }
        defer { unsafe _ = closedir(stream) }
        var names: [String] = []
        while let entry = unsafe readdir(stream) {
            let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                unsafe pointer.withMemoryRebound(to: CChar.self, capacity: 256) {
                    unsafe String(cString: $0)
                }
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    static func isFolder(_ path: String) -> Bool {
        var status = stat()
        return unsafe stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }

    static func remove(_ path: String) { unsafe _ = unlink(path) }

    /// All of a small file; nil when it is not there.
    static func read(_ path: String) throws(ArchiveError) -> [UInt8]? {
        guard let file = try InputFile(path) else { return nil }
        var (bytes, chunk) = ([UInt8](), [UInt8](repeating: 0, count: 65_536))
        while case let count = try file.read(into: &chunk), count > 0 { bytes += chunk[..<count] }
        return bytes
    }

    /// Puts a small file in the place of the one of this name, if any: whoever looks sees one or the other.
    static func replace(_ path: String, with bytes: [UInt8]) throws(ArchiveError) {
        let file = try OutputFile("\(path).tmp")
        try unsafe bytes.withUnsafeBytes { all in
            Result { () throws(ArchiveError) in try unsafe file.write(all) }
        }
        .get()
        try file.finish()
        try rename("\(path).tmp", to: path)
    }

    static func rename(_ path: String, to new: String) throws(ArchiveError) {
        guard unsafe Glibc.rename(path, new) == 0 else { throw failure("cannot rename '\(path)'") }
        let folder = new.lastIndex(of: "/").map { String(new[..<$0]) } ?? "."
        try syncFolder(folder)
    }

    /// With the system's reason.
    static func failure(_ text: String) -> ArchiveError {
        ArchiveError(.storage, "\(text): \(unsafe String(cString: strerror(errno)))")
    }
}

/// A file that is written from its beginning to its end.
final class OutputFile {
    private let path: String
    private var descriptor: Int32

    init(_ path: String) throws(ArchiveError) {
        self.path = path
        descriptor = unsafe open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw ArchiveStorage.failure("cannot write '\(path)'") }
    }

    deinit { if descriptor >= 0 { close(descriptor) } }

    func write(_ bytes: UnsafeRawBufferPointer) throws(ArchiveError) {
        var written = 0
        while written < bytes.count {
            let rest = unsafe UnsafeRawBufferPointer(rebasing: bytes[written...])
            let count = unsafe Glibc.write(descriptor, rest.baseAddress, rest.count)
            if count < 0 && errno == EINTR { continue }
            guard count >= 0 else { throw ArchiveStorage.failure("cannot write '\(path)'") }
            written += count
        }
    }

    /// The bytes are on the disk when this returns, and the next look at them comes from there.
    func finish() throws(ArchiveError) {
        guard fsync(descriptor) == 0 else { throw ArchiveStorage.failure("cannot write '\(path)'") }
        posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED)
        let closed = close(descriptor)
        descriptor = -1
        guard closed == 0 else { throw ArchiveStorage.failure("cannot write '\(path)'") }
    }
}

/// A file that is read from its beginning to its end.
final class InputFile {
    private let path: String
    private let descriptor: Int32

    /// Nil when there is no such file.
    init?(_ path: String) throws(ArchiveError) {
        self.path = path
        descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            if errno == ENOENT { return nil }
            throw ArchiveStorage.failure("cannot read '\(path)'")
        }
    }

    deinit { if descriptor >= 0 { close(descriptor) } }

    /// How many bytes came; 0 at the end.
    func read(into bytes: inout [UInt8]) throws(ArchiveError) -> Int {
        while true {
            let count = unsafe bytes.withUnsafeMutableBytes {
                unsafe Glibc.read(descriptor, $0.baseAddress, $0.count)
            }
            if count < 0 && errno == EINTR { continue }
            guard count >= 0 else { throw ArchiveStorage.failure("cannot read '\(path)'") }
            return count
        }
    }

    /// Reads from the beginning again.
    func rewind() throws(ArchiveError) {
        guard lseek(descriptor, 0, SEEK_SET) == 0 else {
            throw ArchiveStorage.failure("cannot read '\(path)'")
        }
    }
}
