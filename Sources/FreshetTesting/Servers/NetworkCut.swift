internal import FoundationEssentials

/// Cuts addresses of this machine off from each other, by rules of iptables that drop what they send each other.
///
/// Needs root and iptables. The rules carry a comment of their own, so cuts that are made side by side end one by one;
/// they end with `heal`, and outlive this process when it dies before.
final class NetworkCut: Sendable {
    /// iptables is missing or may not be used.
    struct CutError: Error, CustomStringConvertible {
        let description: String
    }

    /// What marks the rules of this cut.
    let comment = "freshet-\(String(UInt64.random(in: 0 ... .max), radix: 36))"
    private let binary: String?

    /// - Parameter binary: the path of iptables; nil when there is none.
    init(binary: String? = Programs.path(of: "iptables")) { self.binary = binary }

    /// Whether this machine and this user can.
    static func isPossible() async -> Bool {
        (try? await NetworkCut().run(["-S", "INPUT"])) != nil
    }

    /// Drops all traffic between one address and these others, in both directions. After an error some of it may be
    /// dropped; `heal` ends that as well.
    func cut(_ address: String, from others: [String]) async throws(CutError) {
        for other in others where other != address {
            for (source, target) in [(address, other), (other, address)] {
                try await run(
                    [
                        "-A", "INPUT", "-i", "lo", "-s", source, "-d", target, "-m", "comment", "--comment",
                        comment, "-j", "DROP",
                    ])
            }
        }
    }

    /// Lets everything pass again. A rule that cannot be removed does not keep the others: the first error is thrown
    /// at the end.
    func heal() async throws(CutError) {
        guard binary != nil else { return }
        var failure: CutError?
        for rule in try await rules() {
            do throws(CutError) {
                try await run(["-D"] + rule)
            } catch {
                failure = failure ?? error
            }
        }
        if let failure { throw failure }
    }

    /// The rules of this cut that are in force, as words without `-A`.
    func rules() async throws(CutError) -> [[String]] {
        try await run(["-S", "INPUT"]).split(separator: "\n").compactMap { line in
            let words = line.split(separator: " ").map { $0.filter { $0 != "\"" } }
            return words.first == "-A" && words.contains(comment) ? Array(words.dropFirst()) : nil
        }
    }

    /// Runs iptables, waiting for others that use it (`-w`), and returns what it printed.
    @discardableResult
    private func run(_ arguments: [String]) async throws(CutError) -> String {
        guard let binary else {
            throw CutError(description: "iptables is not installed (Debian: apt-get install iptables)")
        }
        let (ending, text): (ChildProcess.Ending, String)
        do throws(ChildProcess.SpawnError) {
            (ending, text) = try await Programs.run(binary, ["-w"] + arguments)
        } catch {
            throw CutError(description: error.description)
        }
        guard ending == .exited(0) else {
            let reason = text.split(separator: "\n").joined(separator: " | ")
            throw CutError(
                description:
                    "iptables \(arguments.joined(separator: " ")) ended \(ending) (is this root?): \(reason)")
        }
        return text
    }
}
