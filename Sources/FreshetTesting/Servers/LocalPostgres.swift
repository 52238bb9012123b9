internal import FoundationEssentials
internal import Glibc
internal import Hiredis
internal import Synchronization

/// A real PostgreSQL of one's own: a cluster in its own folder on a Unix socket, stopped by process id.
///
/// Its programs are those beside the `postgres` of `PATH`, or of the newest folder in `/usr/lib/postgresql`. PostgreSQL refuses
/// to run as root: for root it runs as the user `postgres`.
public final class LocalPostgres: Sendable {
    /// Why a server did not come up.
    public struct StartError: Error, CustomStringConvertible {
        /// The reason, with the last lines of the server's log.
        public let description: String
    }

    /// The folder with the cluster, the socket and the log.
    public let folder = "/tmp/freshet-\(String(UInt64.random(in: 0 ... .max), radix: 36))"
    private let options: [String]
    private let process = Guarded<ChildProcess?>(nil)

    /// Describes a server; `start` starts it.
    ///
    /// - Parameter options: more settings, such as `["-c", "max_connections=300"]`.
    public init(options: [String] = []) { self.options = options }

    /// Its first database. Every local user may do everything.
    public var url: String { "postgres://freshet@/postgres?host=\(folder)" }

    /// Another of its databases.
    public func url(of database: String) -> String { "postgres://freshet@/\(database)?host=\(folder)" }

    private static func program(_ name: String) -> String? {
        let folder = "/usr/lib/postgresql"
        let versions = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        return versions.sorted { (Int($0) ?? 0) > (Int($1) ?? 0) }.map { "\(folder)/\($0)/bin/\(name)" }
            .first { FileManager.default.isExecutableFile(atPath: $0) } ?? Programs.path(of: name)
    }

    /// A program's command line, as the user that may run it.
    private static func command(_ name: String, _ arguments: [String]) throws(StartError) -> (
        String, [String]
    ) {
        guard let path = program(name) else {
            throw StartError(description: "there is no \(name) (Debian: apt-get install postgresql)")
        }
        guard getuid() == 0 else { return (path, arguments) }
        guard let switching = Programs.path(of: "setpriv") else {
            throw StartError(description: "there is no setpriv, and PostgreSQL does not run as root")
        }
        return (
            switching,
            ["--reuid=postgres", "--regid=postgres", "--clear-groups", "--", path] + arguments
        )
    }

    /// Starts the server, again after a stop or a kill, and waits until it takes connections.
    public func start(within limit: Duration = .seconds(60)) async throws {
        let data = "\(folder)/data"
        if !FileManager.default.fileExists(atPath: data) {
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            // For the user that the server runs as.
            unsafe chmod(folder, 0o777)
            let (program, arguments) = try Self.command(
                "initdb",
                ["-D", data, "-U", "freshet", "--auth=trust", "-E", "UTF8", "--locale=C", "--no-sync"])
            let (ending, text) = try await Programs.run(program, arguments)
            guard ending == .exited(0) else { throw StartError(description: "initdb: \(text)") }
        }
        let (program, arguments) = try Self.command(
            "postgres",
            [
                "-D", data, "-c", "listen_addresses=", "-c", "unix_socket_directories=\(folder)",
                "-c", "fsync=off", "-c", "max_connections=100", "-c", "shared_buffers=32MB",
            ] + options)
        let log = "\(folder)/log"
        let child = try ChildProcess(program, arguments, output: .file(log), errors: .file(log))
        process.withLock { $0 = child }
        let deadline = ContinuousClock.now + limit
        while ContinuousClock.now < deadline, child.ending == nil {
            // Line 8 of it is the server's state.
            let state = (try? String(contentsOfFile: "\(data)/postmaster.pid", encoding: .utf8)) ?? ""
            let lines = state.split(separator: "\n", omittingEmptySubsequences: false)
            if lines.count > 7, lines[0] == "\(child.id)", lines[7].hasPrefix("ready") { return }
            try await Task.sleep(for: .milliseconds(20))
        }
        let text = (try? String(contentsOfFile: log, encoding: .utf8)) ?? ""
        await stop()
        throw StartError(
            description: "postgres: \(text.split(separator: "\n").suffix(5).joined(separator: " | "))")
    }

    /// Ends the server, which does not wait for its clients (SIGINT), and removes its folder.
    public func stop() async {
        await pause()
        try? FileManager.default.removeItem(atPath: folder)
    }

    /// Ends the server; `start` starts it again with all that was committed.
    public func pause() async {
        running?.signal(SIGINT)
        await running?.wait()
    }

    /// Ends the server as in a crash (SIGQUIT: nothing is written any more), and waits for its end.
    public func kill() async {
        running?.signal(SIGQUIT)
        await running?.wait()
    }

    private var running: ChildProcess? { process.withLock { $0?.ending == nil ? $0 : nil } }
}

/// Runs the body with a server of its own, which is stopped at the end in any case.
public func withPostgres<R>(
    _ server: LocalPostgres = LocalPostgres(), _ body: (LocalPostgres) async throws -> R
) async throws -> R {
    try await withServer(start: { try await server.start() }, stop: { await server.stop() }) {
        try await body(server)
    }
}
