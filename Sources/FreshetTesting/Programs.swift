internal import FoundationEssentials
internal import Glibc

/// Programs of this machine, by name.
package enum Programs {
    /// The path of a program: in the folders of `PATH`, then where Debian keeps it. (`PATH` of a service often lacks
    /// the `sbin` folders, and an empty environment has none.)
    package static func path(of name: String) -> String? {
        let folders = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":").map(
            String.init)
        return (folders + ["/usr/bin", "/usr/local/bin", "/usr/sbin", "/sbin"]).lazy.map { "\($0)/\(name)" }
            .first { FileManager.default.isExecutableFile(atPath: $0) }
    }

    /// Runs a program to its end, killed at the limit, and returns how it ended and what it printed.
    package static func run(_ binary: String, _ arguments: [String], within limit: Duration = .seconds(60))
        async throws(ChildProcess.SpawnError) -> (ending: ChildProcess.Ending, text: String)
    {
        let log = "/tmp/freshet-\(String(UInt64.random(in: 0 ... .max), radix: 36))"
        defer { try? FileManager.default.removeItem(atPath: log) }
        let child = try ChildProcess(binary, arguments, output: .file(log), errors: .file(log))
        let limiter = Task {
            try await Task.sleep(for: limit)
            child.signal(SIGKILL)
        }
        defer { limiter.cancel() }
        let ending = await child.wait()
        return (ending, (try? String(contentsOfFile: log, encoding: .utf8)) ?? "")
    }
}
