internal import FoundationEssentials
public import Freshet
public import Hiredis
internal import Logging

/// What a worker runs with, once flags, environment and defaults are put together.
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
    let logLevel: Logger.Level
    let logFormat: LogFormat

    /// - Throws: `ToolError` with `badConfiguration` that names the variable or flag.
    init(_ options: WorkerOptions, defaults: WorkerDefaults, environment: [String: String]) throws {
        func text(_ flag: String?, _ variable: String) -> String? {
            (flag ?? environment[variable]).flatMap { $0.isEmpty ? nil : $0 }
        }
        func bad(_ variable: String, _ reason: String) -> ToolError {
            ToolError(.badConfiguration, "\(variable): \(reason)")
        }
        func seconds(_ flag: Double?, _ variable: String, _ standard: Double) throws -> Duration {
            let value =
                try flag
                ?? environment[variable].map {
                    guard let number = Double($0) else {
                        throw bad(variable, "'\($0)' is not a number of seconds")
                    }
                    return number
                }
            guard let value else { return .seconds(standard) }
            guard value > 0, value < 1e7 else { throw bad(variable, "must be above 0") }
            return .seconds(value)
        }
        do {
            redis = try RedisSettings.configuration(url: options.redisURL, environment: environment)
            namespace =
                try text(options.namespace, "FRESHET_NAMESPACE").map { try Namespace(checking: $0) }
                ?? defaults.namespace
            group =
                try text(options.group, "FRESHET_GROUP").map { try GroupName(checking: $0) } ?? defaults.group
            consumer =
                try text(options.consumer, "FRESHET_CONSUMER").map { try ConsumerName(checking: $0) }
                ?? .makeUnique()
        } catch {
            throw ToolError(.badConfiguration, "\(error)")
        }
        databaseURL = text(options.databaseURL, "DATABASE_URL") ?? "sqlite:\(defaults.group).db"
        migrateOnly = options.migrateOnly
        rebuild = options.rebuilding.options
        var subscription = SubscriptionOptions()
        if let concurrency = options.concurrency.map(String.init) ?? environment["FRESHET_CONCURRENCY"] {
            guard let number = Int(concurrency), (1...100_000).contains(number) else {
                throw bad("FRESHET_CONCURRENCY", "'\(concurrency)' is not a whole number from 1")
            }
            subscription.concurrency = number
        }
        if let ordering = text(options.ordering, "FRESHET_ORDERING") {
            guard let known = Ordering(rawValue: ordering) else {
                throw bad("FRESHET_ORDERING", "'\(ordering)' is not one of any, perKey")
            }
            subscription.ordering = known
        }
        subscription.lease = try seconds(options.lease, "FRESHET_LEASE", 10)
        self.subscription = subscription
        connectTimeout = try seconds(options.connectTimeout, "FRESHET_CONNECT_TIMEOUT", 30)
        drainTimeout = try seconds(options.drainTimeout, "FRESHET_DRAIN_TIMEOUT", 25)
        let level = text(options.logLevel, "LOG_LEVEL") ?? "info"
        guard let logLevel = Logger.Level(rawValue: level.lowercased()) else {
            throw bad(
                "LOG_LEVEL",
                "'\(level)' is not one of \(Logger.Level.allCases.map(\.rawValue).joined(separator: ", "))")
        }
        self.logLevel = logLevel
        let format = text(options.logFormat, "LOG_FORMAT")
        guard let logFormat = format.map({ LogFormat(rawValue: $0) }) ?? .suited else {
            throw bad("LOG_FORMAT", "'\(format ?? "")' is not one of text, json")
        }
        self.logFormat = logFormat
        var warnings: [String] = []
        traces = try TraceSettings(
            environment: environment, service: defaults.group.rawValue, instance: consumer
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

/// Where Redis is, from a flag and the environment.
enum RedisSettings {
    /// `REDIS_PASSWORD`, or the file that `REDIS_PASSWORD_FILE` names, wins over a password in the URL.
    static func configuration(url: String?, environment: [String: String]) throws -> RedisConfiguration {
        let url =
            url ?? environment["REDIS_URL"].flatMap { $0.isEmpty ? nil : $0 } ?? "redis://127.0.0.1:6379"
        var configuration = try RedisConfiguration(url: url)
        if let password = environment["REDIS_PASSWORD"], !password.isEmpty {
            configuration.password = password
        } else if let path = environment["REDIS_PASSWORD_FILE"], !path.isEmpty {
            guard let text = try? String(contentsOfFile: path, encoding: .utf8) else {
                throw ToolError(.badConfiguration, "REDIS_PASSWORD_FILE: cannot read '\(path)'")
            }
            configuration.password = String(text.prefix { !$0.isNewline })
        }
        return configuration
    }
}
