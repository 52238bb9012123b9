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

    /// The folder of this very program: those that are built together stand side by side.
    package static var ownFolder: String {
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
        let length = unsafe readlink("/proc/self/exe", &buffer, buffer.count)
        let own = String(decoding: buffer.prefix(max(0, length)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return String(own.prefix(upTo: own.lastIndex(of: "/") ?? own.startIndex))
    }

    /// Where a program stands beside this one; nil when it is not built.
    package static func beside(_ name: String) -> String? {
        let path = "\(ownFolder)/\(name)"
        return FileManager.default.isExecutableFile(atPath: path) ? path : nil
    }

    /// The whole answer to one GET of what listens on a port of this machine: status, headers and body. Empty when nothing answers.
    package static func answer(to path: String, port: Int) async throws(ChildProcess.SpawnError) -> String {
        let asking = "exec 3<>/dev/tcp/127.0.0.1/$0 && printf 'GET %s HTTP/1.0\\r\\n\\r\\n' $1 >&3 && cat <&3"
        let (ending, text) = try await run("/bin/bash", ["-c", asking, "\(port)", path], within: .seconds(5))
        return ending == .exited(0) ? text : ""
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
