import FoundationEssentials
import Freshet
import FreshetSchema
import FreshetTesting

/// The folder with the committed schemas.
let committedSchemas = #filePath.split(separator: "/").dropLast(3).map { "/\($0)" }.joined() + "/schemas"

/// A temporary folder of one test.
final class Folder {
    let path: String

    init() throws {
        path = "/tmp/freshet-schemas-\(String(UInt64.random(in: 0 ... .max), radix: 36))"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    /// A copy of the committed schemas in this folder.
    func copySchemas(_ name: String) throws -> String {
        try FileManager.default.copyItem(atPath: committedSchemas, toPath: "\(path)/\(name)")
        return "\(path)/\(name)"
    }

    /// Writes a file, and says where.
    @discardableResult
    func write(_ text: String, to name: String) throws -> String {
        try text.write(toFile: "\(path)/\(name)", atomically: false, encoding: .utf8)
        return "\(path)/\(name)"
    }
}

/// How a program ended and what it said.
struct Outcome {
    let exitCode: Int32?
    let output: String
    let errors: String
}

/// Runs one of the programs that were built beside the tests.
func run(_ program: String, _ arguments: String...) async throws -> Outcome {
    try await run(program, arguments)
}

func run(_ program: String, _ arguments: [String]) async throws -> Outcome {
    let folder = try Folder()
    let child = try ChildProcess(
        try executable(program), arguments, output: .file("\(folder.path)/out"),
        errors: .file("\(folder.path)/err"))
    func text(_ name: String) -> String {
        (try? String(contentsOfFile: "\(folder.path)/\(name)", encoding: .utf8)) ?? ""
    }
    guard case .exited(let code) = await child.wait() else {
        return Outcome(exitCode: nil, output: text("out"), errors: text("err"))
    }
    return Outcome(exitCode: code, output: text("out"), errors: text("err"))
}

func executable(_ name: String) throws -> String {
    // The test bundle, or the runner that loads it, stands in the folder of the products.
    var folder = CommandLine.arguments[0]
    while let slash = folder.lastIndex(of: "/") {
        folder = String(folder[..<slash])
        let path = "\(folder)/\(name)"
        if FileManager.default.isExecutableFile(atPath: path) { return path }
    }
    throw Unexpected(description: "\(name) is not built: swift build --build-tests")
}

struct Unexpected: Error, CustomStringConvertible { let description: String }

func file(_ path: String) throws -> String { try String(contentsOfFile: path, encoding: .utf8) }
func json(_ text: String) throws -> JSONValue { try JSONValue(parsing: text.utf8) }

/// A schema by its text.
func schema(_ text: String) throws -> JSONSchema { JSONSchema(try json(text).object ?? [:]) }
