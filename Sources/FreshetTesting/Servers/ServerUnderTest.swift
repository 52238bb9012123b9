internal import FoundationEssentials

/// The server that the fixtures start, as its own program tells: the one that `REDIS_SERVER` names, or the
/// `redis-server` of `PATH`.
public struct ServerUnderTest: Sendable, CustomStringConvertible {
    /// A program that does not say what it is.
    public struct UnknownError: Error, CustomStringConvertible {
        /// What was run and what it printed.
        public let description: String
    }

    /// `Redis` or `Valkey`.
    public let product: String
    /// Such as `7.0.15`.
    public let version: String
    /// Whether it was built with TLS.
    public let hasTLS: Bool

    /// Asks the program.
    public init() async throws {
        guard let binary = Self.binary else {
            throw UnknownError(description: "redis-server is not in PATH")
        }
        let (_, text) = try await Programs.run(binary, ["--version"])
        // "Redis server v=7.0.15 sha=00000000:0 malloc=…"
        let words = text.split(whereSeparator: \.isWhitespace)
        guard words.count >= 3, words[1] == "server", words[2].hasPrefix("v=") else {
            throw UnknownError(description: "\(binary) --version: \(text)")
        }
        (product, version) = (String(words[0]), String(words[2].dropFirst(2)))
        // It ends in any case: the port with TLS is its only one, and there is no certificate. Only one without TLS
        // complains of that first (before 7.2 by not knowing the option).
        let (_, refusal) = try await Programs.run(binary, ["--port", "0", "--tls-port", "1"])
        hasTLS = !["Failed finding TLS support", "FATAL CONFIG FILE ERROR"].contains { refusal.contains($0) }
    }

    /// Such as `Redis 7.0.15`, and whether TLS is missing.
    public var description: String { "\(product) \(version)\(hasTLS ? "" : " without TLS")" }

    static var binary: String? {
        ProcessInfo.processInfo.environment["REDIS_SERVER"] ?? Programs.path(of: "redis-server")
    }
}
