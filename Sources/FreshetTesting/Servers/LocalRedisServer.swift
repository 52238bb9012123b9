internal import FoundationEssentials
internal import Glibc
internal import Hiredis
internal import Synchronization

/// A real redis-server of one's own: in its own folder, on a Unix socket (and a port when asked), stopped by process
/// id. For tests, and for a whole system on one machine.
///
/// The server binary is the `redis-server` of `PATH`, or the one that `REDIS_SERVER` names.
public final class LocalRedisServer: Sendable {
    /// Why a server did not come up.
    public struct StartError: Error, CustomStringConvertible {
        /// The reason, with the last lines of the server's log.
        public let description: String
    }

    /// The folder with the socket, the log and the append-only file.
    public let folder: String
    /// The port on 127.0.0.1, or nil when the server listens on its socket alone.
    public let port: Int?
    private let options: [String]
    private let ownsFolder: Bool
    private let process = Guarded<ChildProcess?>(nil)

    /// Describes a server; `start` starts it.
    ///
    /// - Parameters:
    ///   - folder: where its files go, kept when it stops; nil for a temporary folder that is removed.
    ///   - port: a port to listen on as well, for clients that need TCP.
    ///   - appendOnly: whether writes survive a kill, in an append-only file.
    ///   - options: more options for the server, such as `["--requirepass", "secret"]`.
    public init(folder: String? = nil, port: Int? = nil, appendOnly: Bool = false, options: [String] = []) {
        // Short, because a socket's path may have 107 bytes.
        self.folder = folder ?? "/tmp/freshet-\(String(UInt64.random(in: 0 ... .max), radix: 36))"
        ownsFolder = folder == nil
        self.port = port
        self.options = ["--appendonly", appendOnly ? "yes" : "no"] + options
    }

    /// The Unix socket.
    public var socketPath: String { "\(folder)/redis.sock" }
    /// A URL for clients on this machine.
    public var url: String { "unix://\(socketPath)" }
    /// A URL through TCP; needs a port.
    public var tcpURL: String { "redis://127.0.0.1:\(port ?? 0)" }
    /// The process id while the server runs.
    public var processID: Int32? { running?.id }

    /// Starts the server, again after a stop or a kill, and waits until it answers (also to say that it wants a
    /// password).
    public func start(within limit: Duration = .seconds(20)) async throws {
        guard let binary = ServerUnderTest.binary else {
            throw StartError(
                description: "redis-server is not in PATH (Debian: apt-get install redis-server)")
        }
        try FileManager.default.createDirectory(
            atPath: folder, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        try? FileManager.default.removeItem(atPath: socketPath)
        let log = "\(folder)/redis.log"
        let child = try ChildProcess(
            binary,
            [
                "--port", "\(port ?? 0)", "--bind", "127.0.0.1", "--unixsocket", socketPath,
                "--unixsocketperm", "700",
                "--dir", folder, "--save", "", "--logfile", log, "--daemonize", "no",
            ] + options)
        process.withLock { $0 = child }
        let deadline = ContinuousClock.now + limit
        var configuration = RedisConfiguration(address: .unix(path: socketPath))
        configuration.connectTimeout = .seconds(1)
        let probe = RedisClient(configuration)
        defer { probe.close() }
        while ContinuousClock.now < deadline, child.ending == nil {
            do {
                return try await probe.connect(within: .milliseconds(200))
            } catch  where error.code == .authentication {
                return
            } catch {}
        }
        let text = (try? String(contentsOfFile: log, encoding: .utf8)) ?? ""
        await stop()
        let lines = text.split(separator: "\n").suffix(5).joined(separator: " | ")
        throw StartError(description: "redis-server did not start: \(lines)")
    }

    /// Ends the server as an operator would (SIGTERM), waits for it, and removes a temporary folder.
    public func stop() async {
        await running?.stop(within: .seconds(20))
        if ownsFolder { try? FileManager.default.removeItem(atPath: folder) }
    }

    /// Ends the server at once (SIGKILL) and waits for its end; its files stay, and `start` starts it again on them.
    public func kill() async {
        running?.signal(SIGKILL)
        await running?.wait()
    }

    /// Freezes the server (SIGSTOP).
    public func pause() { running?.signal(SIGSTOP) }

    /// Lets a frozen server go on (SIGCONT).
    public func resume() { running?.signal(SIGCONT) }

    private var running: ChildProcess? { process.withLock { $0?.ending == nil ? $0 : nil } }
}

/// Runs the body with a server of its own, which is stopped at the end in any case.
public func withRedisServer<R>(
    _ server: LocalRedisServer = LocalRedisServer(), _ body: (LocalRedisServer) async throws -> R
) async throws -> R {
    try await withServer(start: { try await server.start() }, stop: { await server.stop() }) {
        try await body(server)
    }
}
