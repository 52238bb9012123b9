public import ArgumentParser

/// The flags that every worker takes. A flag wins over its environment variable, which wins over the configuration file, which
/// wins over the default.
public struct WorkerOptions: ParsableArguments {
    @Option(
        name: .customLong("redis-url"),
        help:
            "Redis: redis://[user:password@]host[:port][/db] or unix:///path. [REDIS_URL, default redis://127.0.0.1:6379]"
    )
    var redisURL: String?

    @Option(help: "What every key begins with. [FRESHET_NAMESPACE]")
    var namespace: String?

    @Option(
        name: .customLong("database-url"),
        help:
            "The service's own database: sqlite:PATH or postgres://user:password@host/database. [DATABASE_URL, default sqlite:GROUP.db]"
    )
    var databaseURL: String?

    @Option(help: "The consumer group. [FRESHET_GROUP]")
    var group: String?

    @Option(
        help: "This process's name in the group, unlike any other's. [FRESHET_CONSUMER, default: made up]")
    var consumer: String?

    @Option(help: "Events handled side by side. [FRESHET_CONCURRENCY, default 64]")
    var concurrency: Int?

    @Option(
        help:
            "The order in which events are handled where the service does not say: any, or perKey. [FRESHET_ORDERING, default any]"
    )
    var ordering: String?

    @Option(
        help:
            "Seconds without a sign of life after which another consumer takes over. [FRESHET_LEASE, default 10]"
    )
    var lease: Double?

    @Option(
        help:
            "Seconds to try to reach Redis and the database at the start. [FRESHET_CONNECT_TIMEOUT, default 30]"
    )
    var connectTimeout: Double?

    @Option(help: "Seconds to finish what runs at shutdown. [FRESHET_DRAIN_TIMEOUT, default 25]")
    var drainTimeout: Double?

    @Option(help: "trace, debug, info, notice, warning, error or critical. [LOG_LEVEL, default info]")
    var logLevel: String?

    @Option(help: "text or json. [LOG_FORMAT, default: text on a terminal, else json]")
    var logFormat: String?

    @OptionGroup var http: HTTPFlags

    @Option(
        help:
            "A file with settings, in lines NAME=value with the names of the environment. [FRESHET_CONFIG]")
    var config: String?

    @Flag(help: "Print each setting with its value and where it comes from, and exit.")
    var printConfig = false

    @OptionGroup var output: OutputOptions

    @Flag(help: "Bring the database's tables to this program's version, and exit.")
    var migrateOnly = false

    @Flag(help: "Print what this service receives and sends, with a schema of each event, as JSON, and exit.")
    var describe = false

    @OptionGroup var rebuilding: RebuildFlags

    /// No flags.
    public init() {}

    /// The settings of this process, for those of the service's own; `Worker.run` reads the others.
    public func settings() throws -> Settings { try Settings(file: config) }
}
