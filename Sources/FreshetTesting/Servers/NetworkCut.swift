internal import FoundationEssentials

/// Cuts addresses of this machine off from each other, by rules of iptables that drop what they send each other.
///
/// Needs root and iptables. The rules carry a comment of their own and end with `heal`.
final class NetworkCut: Sendable {
    /// iptables is missing or may not be used.
    struct CutError: Error, CustomStringConvertible {
        let description: String
    }

    private let comment = "freshet-\(String(UInt64.random(in: 0 ... .max), radix: 36))"

    /// Whether this machine and this user can.
    static func isPossible() async -> Bool {
        guard let binary, let child = try? ChildProcess(binary, ["-w", "-S", "INPUT"]) else { return false }
        return await child.wait() == .exited(0)
    }

    /// Drops all traffic between one address and these others, in both directions.
    func cut(_ address: String, from others: [String]) async throws {
        for other in others where other != address {
            try await rule("-A", from: address, to: other)
            try await rule("-A", from: other, to: address)
        }
    }

    /// Lets everything pass again.
    func heal() async throws {
        let list = "/tmp/\(comment)"
        defer { try? FileManager.default.removeItem(atPath: list) }
        guard let binary = Self.binary else { return }
        let child = try ChildProcess(binary, ["-w", "-S", "INPUT"], output: .file(list))
        await child.wait()
        for line in (try? String(contentsOfFile: list, encoding: .utf8))?.split(separator: "\n") ?? []
        where line.contains(comment) {
            let words = line.split(separator: " ").map {
                $0 == "-A" ? "-D" : String($0.filter { $0 != "\"" })
            }
            try await Self.run(["-w"] + words)
        }
    }

    private func rule(_ action: String, from source: String, to target: String) async throws {
        try await Self.run(
            [
                "-w", action, "INPUT", "-i", "lo", "-s", source, "-d", target, "-m", "comment", "--comment",
                comment, "-j", "DROP",
            ])
    }

    private static let binary = ["/usr/sbin/iptables", "/sbin/iptables"].first {
        FileManager.default.isExecutableFile(atPath: $0)
    }

    private static func run(_ arguments: [String]) async throws {
        guard let binary else {
            throw CutError(description: "iptables is not installed (Debian: apt-get install iptables)")
        }
        let child = try ChildProcess(binary, arguments)
        let ending = await child.wait()
        guard ending == .exited(0) else {
            throw CutError(
                description: "iptables \(arguments.joined(separator: " ")) ended \(ending): is this root?")
        }
    }
}
