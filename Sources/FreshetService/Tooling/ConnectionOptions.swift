public import ArgumentParser
internal import FoundationEssentials
public import Freshet
internal import Hiredis

/// Where a tool finds the events. A flag wins over its environment variable, which wins over the default.
public struct ConnectionOptions: ParsableArguments {
    @Option(
        name: .customLong("redis-url"),
        help:
            "redis://[user:password@]host[:port][/db] or unix:///path. [REDIS_URL, default redis://127.0.0.1:6379]"
    )
    var redisURL: String?

    @Option(help: "What every key begins with. [FRESHET_NAMESPACE, default freshet]")
    var namespace: String?

    @Option(help: "Seconds to try to reach Redis. [FRESHET_CONNECT_TIMEOUT, default 5]")
    var connectTimeout: Double?

    /// No flags.
    public init() {}

    /// Runs the body with a connection, and closes it. Ctrl-C then does what `Interruption` says.
    ///
    /// The password can also come from `REDIS_PASSWORD`, or the file that `REDIS_PASSWORD_FILE` names. Throws a `ToolError`:
    /// `unreachable` when there is no connection in time, `badConfiguration` for a URL, password or variable that is wrong,
    /// `usage` for a flag that is.
    public func withBroker<R>(_ body: (Broker) async throws -> R) async throws -> R {
        Interruption.begin()
        let environment = ProcessInfo.processInfo.environment
        let namespace = try chosenNamespace(environment)
        let limit = try chosenTimeout(environment)
        var configuration: RedisConfiguration
        do {
            configuration = try RedisSettings.configuration(url: redisURL, environment: environment)
        } catch let error as RedisError {
            throw ToolError(.badConfiguration, error.description)
        }
        configuration.clientName = configuration.clientName ?? "freshet-tool"
        let client = RedisClient(configuration)
        defer { client.close() }
        do throws(RedisError) {
            try await client.connect(within: .seconds(limit))
        } catch {
            switch error.code {
            case .authentication, .invalidConfiguration:
                throw ToolError(
                    .badConfiguration, "\(configuration.displayName) refused us: \(error.message)")
            case .server:
                throw ToolError(error)
            default:
                throw ToolError(
                    .unreachable, "cannot reach Redis within \(Duration.seconds(limit)): \(error.message)")
            }
        }
        return try await body(Broker(client, namespace: namespace))
    }

    private func chosenNamespace(_ environment: [String: String]) throws -> Namespace {
        do throws(FreshetError) {
            if let namespace { return try Namespace(checking: namespace) }
            guard let text = environment["FRESHET_NAMESPACE"], !text.isEmpty else { return "freshet" }
            return try Namespace(checking: text)
        } catch {
            throw namespace == nil
                ? ToolError(.badConfiguration, "FRESHET_NAMESPACE: \(error)")
                : ToolError(.usage, "--namespace: \(error)")
        }
    }

    private func chosenTimeout(_ environment: [String: String]) throws -> Double {
        func isUsable(_ seconds: Double) -> Bool { seconds > 0 && seconds < 1e7 }
        if let connectTimeout {
            guard isUsable(connectTimeout) else {
                throw ToolError(.usage, "--connect-timeout is a number of seconds above 0")
            }
            return connectTimeout
        }
        guard let text = environment["FRESHET_CONNECT_TIMEOUT"], !text.isEmpty else { return 5 }
        guard let seconds = Double(text), isUsable(seconds) else {
            throw ToolError(
                .badConfiguration, "FRESHET_CONNECT_TIMEOUT: '\(text)' is not a number of seconds above 0")
        }
        return seconds
    }
}
