public import ArgumentParser
public import Freshet
internal import Hiredis

/// Where a tool finds the events. A flag wins over its environment variable, which wins over the
/// configuration file, which wins over the default.
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

    @Option(help: "A file with settings, in lines NAME=value. [FRESHET_CONFIG]")
    var config: String?

    /// No flags.
    public init() {}

    /// The settings of this process.
    public func settings() throws -> Settings { try Settings(file: config) }

    /// Runs the body with a connection, and closes it. Ctrl-C then does what `Interruption` says.
    ///
    /// The URL can also come from the file that `REDIS_URL_FILE` names, the password from `REDIS_PASSWORD` or the file that
    /// `REDIS_PASSWORD_FILE` names. Throws a `ToolError`:
    /// `unreachable` when there is no connection in time, `badConfiguration` for a URL, password or variable that is wrong,
    /// `usage` for a flag that is.
    public func withBroker<R>(_ body: (Broker) async throws -> R) async throws -> R {
        Interruption.begin()
        var (configuration, namespace, limit) = try read(settings())
        configuration.clientName = configuration.clientName ?? "freshet-tool"
        let client = RedisClient(configuration)
        defer { client.close() }
        do throws(RedisError) {
            try await client.connect(within: limit)
        } catch {
            switch error.code {
            case .authentication, .invalidConfiguration:
                throw ToolError(
                    .badConfiguration, "\(configuration.displayName) refused us: \(error.message)")
            case .server:
                throw ToolError(error)
            default:
                throw ToolError(
                    .unreachable, "cannot reach Redis within \(limit): \(error.message)")
            }
        }
        return try await body(Broker(client, namespace: namespace))
    }

    /// Where Redis is, what every key begins with, and how long to try to reach it.
    func read(_ settings: Settings) throws -> (redis: RedisConfiguration, Namespace, within: Duration) {
        (
            try settings.redis(redisURL), try settings.namespace(namespace, default: "freshet"),
            try settings.seconds(
                "FRESHET_CONNECT_TIMEOUT", .flag("--connect-timeout", connectTimeout), default: 5)
        )
    }
}
