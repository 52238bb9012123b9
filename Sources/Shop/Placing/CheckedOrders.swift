internal import FoundationEssentials
internal import FreshetService
internal import Glibc
internal import ShopEvents

/// A file of orders that was read once from end to end, so that nothing of a bad file is placed by accident.
///
/// Standard input is copied to a temporary file first: it can be read only once, and may be larger than memory.
struct CheckedOrders: Sendable {
    let path: String
    /// What the file is called in messages.
    let name: String
    /// How many good orders there are.
    let count: Int
    /// How many rows are bad.
    let skipped: Int

    /// Reads the file. Names each bad row on standard error; throws 65 when there is one, unless they are to be skipped.
    init(path: String, skipInvalid: Bool) throws {
        self.path = path == "-" ? try Self.spool() : path
        name = path
        do throws(OrderFileError) {
            (count, skipped) = try Self.check(self.path, name: name)
        } catch {
            Self.remove(self.path, name: name)
            throw ToolError(.badData, error.description)
        }
        if skipped > 0 && !skipInvalid {
            cleanUp()
            throw ToolError(
                .badData,
                "\(skipped) bad rows in '\(name)', nothing was placed (--skip-invalid places the others)")
        }
    }

    private static func check(_ path: String, name: String) throws(OrderFileError) -> (good: Int, bad: Int) {
        var (good, bad) = (0, 0)
        var file = try open(path, name: name)
        while let row = try file.next() {
            switch row {
            case .success: good += 1
            case .failure(let row):
                bad += 1
                StandardError.write("\(row)")
            }
        }
        return (good, bad)
    }

    /// The file from its beginning.
    func open() throws -> OrderFile { try Self.open(path, name: name) }

    private static func open(_ path: String, name: String) throws(OrderFileError) -> OrderFile {
        let input = try InputFile(path: path)
        return try OrderFile(name: name, chunks: input.nextChunk)
    }

    private static func spool() throws -> String {
        var template = Array("/tmp/freshet-orders-XXXXXX".utf8CString)
        let copy = unsafe mkstemp(&template)
        guard copy >= 0 else { throw ToolError(.failed, "cannot make a temporary file for standard input") }
        defer { close(copy) }
        var buffer = [UInt8](repeating: 0, count: 64 * 1024)
        while true {
            let count = unsafe read(0, &buffer, buffer.count)
            guard count > 0 else { break }
            var written = 0
            while written < count {
                let more = unsafe buffer.withUnsafeBytes {
                    unsafe write(copy, $0.baseAddress.map { unsafe $0 + written }, count - written)
                }
                guard more > 0 else {
                    throw ToolError(.failed, "cannot write standard input to a temporary file")
                }
                written += more
            }
        }
        return String(decoding: template.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// Removes the copy of standard input.
    func cleanUp() { Self.remove(path, name: name) }

    private static func remove(_ path: String, name: String) {
        if name == "-" { _ = unsafe unlink(path) }
    }
}
