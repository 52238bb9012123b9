public import Freshet
public import Hiredis
internal import Logging

/// What a worker runs with, once flags, environment, file and defaults are put together.
public struct WorkerSettings: Sendable {
    /// Where Redis is.
    public let redis: RedisConfiguration
    /// What every key begins with.
    public let namespace: Namespace
    /// The service's own database.
    public let databaseURL: String
    /// The consumer group.
    public let group: GroupName
    /// This process's name in the group.
    public let consumer: ConsumerName
    /// How events are taken and retried.
    public let subscription: SubscriptionOptions
    /// Whether to complete the database's tables and do nothing else.
    public let migrateOnly: Bool
    /// How to make the tables anew and do nothing else; nil for not at all.
    public let rebuild: RebuildOptions?
    /// How long to try to reach Redis and the database at the start.
    public let connectTimeout: Duration
    /// How long what runs may take to finish at shutdown.
    public let drainTimeout: Duration
    /// How spans are sampled and where they go; nil for no spans.
    let traces: TraceSettings?
    /// What of the environment was left out, and why.
    let warnings: [String]
    /// Where health and metrics are asked for; nil for nowhere.
    let http: HTTPAddress?
    let logLevel: Logger.Level
    let logFormat: LogFormat

    /// - Throws: a `ToolError` that names the flag, the variable or the line that is wrong.
    init(_ options: WorkerOptions, _ settings: Settings, defaults: WorkerDefaults) throws {
        redis = try settings.redis(options.redisURL)
        databaseURL = try settings.url(
            "DATABASE_URL", .flag("--database-url", options.databaseURL),
            default: "sqlite:\(defaults.group).db")
        namespace = try settings.namespace(options.namespace, default: defaults.namespace)
        group =
            try settings.value(
                "FRESHET_GROUP", .flag("--group", options.group), default: .text(defaults.group.rawValue)
            ) { try GroupName(checking: $0) } ?? defaults.group
        consumer =
            try settings.value(
                "FRESHET_CONSUMER", .flag("--consumer", options.consumer), default: .shown("(made up)")
            ) { try ConsumerName(checking: $0) } ?? .makeUnique()
        var subscription = SubscriptionOptions()
        subscription.concurrency = try settings.number(
            "FRESHET_CONCURRENCY", .flag("--concurrency", options.concurrency), in: 1...100_000,
            default: subscription.concurrency)
        subscription.ordering =
            try settings.choice(
                "FRESHET_ORDERING", .flag("--ordering", options.ordering),
                default: .text(Ordering.any.rawValue),
                among: [.any, .perKey]) ?? .any
        subscription.lease = try settings.seconds(
            "FRESHET_LEASE", .flag("--lease", options.lease), default: 10)
        self.subscription = subscription
        connectTimeout = try settings.seconds(
            "FRESHET_CONNECT_TIMEOUT", .flag("--connect-timeout", options.connectTimeout), default: 30)
        drainTimeout = try settings.seconds(
            "FRESHET_DRAIN_TIMEOUT", .flag("--drain-timeout", options.drainTimeout), default: 25)
        http = try HTTPAddress(options.http, settings)
        logLevel =
            try settings.choice(
                "LOG_LEVEL", .flag("--log-level", options.logLevel), default: .text("info"),
                among: Logger.Level.allCases) ?? .info
        logFormat =
            try settings.choice(
                "LOG_FORMAT", .flag("--log-format", options.logFormat),
                default: .text(LogFormat.suited.rawValue),
                among: LogFormat.allCases) ?? .suited
        migrateOnly = options.migrateOnly
        rebuild = options.rebuilding.options
        var warnings: [String] = []
        traces = try TraceSettings(
            environment: try OTelVariables.said(settings), service: defaults.group.rawValue,
            instance: consumer
        ) { warnings.append($0) }
        self.warnings = warnings
    }
}

/// What a worker is when nobody says otherwise.
public struct WorkerDefaults: Sendable {
    /// The consumer group, which also names the service.
    public let group: GroupName
    /// What every key begins with.
    public let namespace: Namespace

    /// These defaults.
    public init(group: GroupName, namespace: Namespace = "freshet") {
        self.group = group
        self.namespace = namespace
    }
}

extension Settings {
    /// Where Redis is. `REDIS_PASSWORD` wins over a password in the URL.
    package func redis(_ url: String?, default standard: String = "redis://127.0.0.1:6379") throws
        -> RedisConfiguration
    {
        let read = { (url: String) throws(RedisError) in try RedisConfiguration(url: url) }
        let found = try value(
            "REDIS_URL", .flag("--redis-url", url), hiding: .passwords, default: .text(standard), read)
        var configuration = try found ?? read(standard)
        if let password = try secret("REDIS_PASSWORD") { configuration.password = password }
        return configuration
    }

    /// What every key begins with.
    func namespace(_ name: String?, default standard: Namespace) throws -> Namespace {
        try value("FRESHET_NAMESPACE", .flag("--namespace", name), default: .text(standard.rawValue)) {
            try Namespace(checking: $0)
        } ?? standard
    }
}
