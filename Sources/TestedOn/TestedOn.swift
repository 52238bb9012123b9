internal import FoundationEssentials
internal import FreshetTesting
internal import Hiredis

/// Prints one line that says what the tests of this build run on: the server, hiredis, Swift and the system.
@main struct TestedOn {
    static func main() async throws {
        let library = HiredisLibrary.loadedFile ?? "unknown"
        let parts = [
            try await ServerUnderTest().description, "hiredis \(HiredisLibrary.headers) (library \(library))",
            "Swift \(try await swift())", system,
        ]
        print("tested on \(parts.joined(separator: ", "))")
    }

    /// The version of the `swift` in `PATH`, which has built this.
    private static func swift() async throws -> String {
        guard let binary = Programs.path(of: "swift") else { return "unknown" }
        let words = try await Programs.run(binary, ["--version"]).text.split(whereSeparator: \.isWhitespace)
        guard let index = words.firstIndex(of: "version"), index + 1 < words.count else { return "unknown" }
        return String(words[index + 1])
    }

    /// Such as `Debian GNU/Linux 12 (bookworm)`.
    private static var system: String {
        let text = (try? String(contentsOfFile: "/etc/os-release", encoding: .utf8)) ?? ""
        let line = text.split(separator: "\n").first { $0.hasPrefix("PRETTY_NAME=") }
        return line.map { $0.dropFirst(12).filter { $0 != "\"" } } ?? "unknown system"
    }
}
