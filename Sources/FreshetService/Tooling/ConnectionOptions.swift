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

    /// No flags.
    public init() {}

    /// Runs the body with a connection, and closes it. Throws `unreachable` after 5 s (`FRESHET_CONNECT_TIMEOUT`) without
    /// one, and `badConfiguration` for a URL or password that is wrong.
    public func withBroker<R>(_ body: (Broker) async throws -> R) async throws -> R {
        let environment = ProcessInfo.processInfo.environment
        let name =
            namespace ?? environment["FRESHET_NAMESPACE"].flatMap { $0.isEmpty ? nil : $0 } ?? "freshet"
        let namespace = try Namespace(checking: name)
        let configuration = try RedisSettings.configuration(url: redisURL, environment: environment)
        let client = RedisClient(configuration)
        defer { client.close() }
        let limit = environment["FRESHET_CONNECT_TIMEOUT"].flatMap { Double($0) } ?? 5
        try await client.connect(within: .seconds(max(0.1, limit)))
        return try await body(Broker(client, namespace: namespace))
    }
}
