public import Freshet
public import FreshetRecords
public import FreshetSchema
internal import Glibc
internal import Hiredis
public import Logging
public import ServiceLifecycle
internal import UnixSignals

/// A service as a process: its database, its subscriptions and its outbox, from start to drain.
///
///     @main struct PaymentWorker: AsyncParsableCommand {
///         static let configuration = CommandConfiguration(subcommands: [HealthCommand.self])
///         @OptionGroup var options: WorkerOptions
///
///         static func main() async { await Tool.main(Self.self) }
///
///         func run() async throws {
///             try await Worker.run(options, defaults: WorkerDefaults(group: "payment"), migrations: tables) { worker in
///                 worker.subscribe(to: .orders) { On(OrderPlaced.self) { order, delivery in ... } }
///             }
///         }
///     }
public struct Worker: Sendable {
    /// What it runs with.
    public let settings: WorkerSettings
    /// Where events are.
    public let broker: Broker
    /// The service's own records.
    public let records: ServiceRecords
    /// For log lines.
    public let logger: Logger

    /// Whether it is given to have its handlers run for a rebuild of the records: nothing outside is to be
    /// asked.
    public var isRebuilding: Bool { records.isRebuilding }

    /// Runs the service until SIGTERM or SIGINT, drains, and returns. A second signal ends the process at once (130).
    ///
    /// To drain is to stop reading, to hand back what was not started, to let handlers end, to settle what they did, and to
    /// publish what they said. Handlers that have not ended shortly before the drain timeout are cancelled; whatever has not at
    /// the timeout ends with the process. What is not settled then another consumer takes over after the lease: `partlyDone`.
    ///
    /// Throws a `ToolError` for what cannot work: `badConfiguration` (URL, password, database), `unreachable` when there is
    /// no connection to Redis within the connect timeout, `badConfiguration` for a contract that differs from the handlers.
    ///
    /// With `HTTP_PORT` it answers `/livez`, `/readyz`, `/startupz` and `/metrics` there, from before it reaches Redis to after
    /// the drain. It is not ready from the moment it is asked to stop.
    ///
    /// - Parameters:
    ///   - settings: those of the service's own have been read from it, so that `--print-config` shows them too; nil when it has
    ///     none.
    ///   - contract: what the service receives and sends: what `--describe` prints, and what its handlers are held against before
    ///     they run.
    ///   - migrations: the service's own tables.
    ///   - services: what it runs, besides the outbox; mostly `worker.subscribe`.
    public static func run(
        _ options: WorkerOptions, _ settings: Settings? = nil, defaults: WorkerDefaults,
        contract: ServiceContract? = nil, migrations: [Migration],
        services: @escaping @Sendable (Worker) async throws -> [any Service]
    ) async throws {
        if options.describe { return try describe(contract) }
        let all = try settings ?? options.settings()
        let settings = try WorkerSettings(options, all, defaults: defaults)
        try all.refuseUnknownNames()
        if options.printConfig { return try all.show(options.output) }
        try await run(settings, source: defaults.group.rawValue, migrations: migrations) { worker in
            let services = try await services(worker)
            try contract?.hold(against: services)
            // Before anything is said to have started.
            if let problem = services.lazy.compactMap({ ($0 as? Subscription)?.problem }).first {
                throw ToolError(.badConfiguration, problem.message)
            }
            return services
        }
    }

    private static func run(
        _ settings: WorkerSettings, source: String, migrations: [Migration],
        services: @escaping @Sendable (Worker) async throws -> [any Service]
    ) async throws {
        // Trapped once, from the first moment to the last: a signal between two traps would be lost.
        let signals = await UnixSignalsSequence(trapping: .sigterm, .sigint)
        let stop = StopRequest()
        let health = Health()
        let logger = Logger(label: source) { _ in
            LineLogHandler(service: source, level: settings.logLevel, format: settings.logFormat)
        }
        var http: HTTPService?
        if let address = settings.http, !settings.migrateOnly {
            http = try await HTTPService.start(
                on: address, Endpoints(health: health, service: source), logger: logger)
        }
        // The last that is shut down: it answers throughout the drain.
        defer { http?.stop() }
        let drain = Drain(within: settings.drainTimeout, logger)
        let process = Process(
            settings: settings, health: health, http: http?.address, drain: drain, logger: logger)
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask {
                var count = 0
                for await _ in signals {
                    count += 1
                    if count == 2 { _exit(ExitStatus.interrupted.rawValue) }
                    // First, so that who asks knows it before reading stops.
                    health.drains()
                    drain.begin()
                    stop.make()
                }
            }
            defer { tasks.cancelAll() }
            try await run(process, source: source, migrations: migrations, services: services, until: stop)
            try drain.end()
        }
    }

    /// What there is before there is a worker.
    private struct Process: Sendable {
        let settings: WorkerSettings
        let health: Health
        let http: HTTPAddress?
        let drain: Drain
        let logger: Logger
    }

    private static func run(
        _ process: Process, source: String, migrations: [Migration],
        services: @escaping @Sendable (Worker) async throws -> [any Service], until stop: StopRequest
    ) async throws {
        let (settings, health, drain, logger) = (
            process.settings, process.health, process.drain, process.logger
        )
        for warning in settings.warnings { logger.warning("\(warning)") }
        if let drill = Drill.description {
            guard drill.isValid else { throw ToolError(.badConfiguration, drill.text) }
            logger.warning("this process will die or freeze on purpose", metadata: ["drill": "\(drill.text)"])
        }
        let database = try open(settings.databaseURL)
        let migrated = try await reach(database, process, until: stop) {
            guard settings.rebuild?.isDryRun == true else {
                return try await ServiceRecords.migrate(database, source: source, migrations: migrations)
            }
            try await database.read { _ = try $0.query("SELECT 1 AS one") }
        }
        if settings.rebuild?.isDryRun == true,
            await !ServiceRecords.isMigrated(database, source: source, migrations: migrations)
        {
            throw ToolError(
                .badConfiguration,
                "the database does not have this program's tables, and --dry-run changes nothing: see --migrate-only"
            )
        }
        guard migrated, !settings.migrateOnly else { return }
        let client = RedisClient(
            settings.redis.named("\(settings.namespace):\(settings.group)"), logger: logger)
        defer { client.close() }
        health.connecting(client)
        let traces = settings.rebuild == nil ? settings.traces.map { Traces($0, logger: logger) } : nil
        let broker = Broker(client, namespace: settings.namespace, tracer: traces?.tracer)
        guard try await connect(client, within: settings.connectTimeout, until: stop) else { return }
        health.connected()
        let records: ServiceRecords
        do {
            records = try await ServiceRecords(
                database, source: source, migrations: migrations, on: broker, logger: logger)
        } catch { throw ToolError(error) }
        let worker = Worker(settings: settings, broker: broker, records: records, logger: logger)
        if let options = settings.rebuild {
            return try await Rebuild.runAlone(worker, options, services: services, until: stop)
        }
        let own = try await services(worker)
        drain.watch(own)
        health.runs(own.compactMap { $0 as? Subscription })
        // Shut down in reverse: subscriptions first, then the relay, which publishes what the last handlers wrote, and last what
        // is said of them.
        let said: [any Service] = (traces.map { [$0.export] } ?? []) + worker.polling(own)
        let all =
            said + [records.relay, RebuildService(worker: worker, services: services)]
            + (own.isEmpty ? [] : [ServicesTogether(services: own)])
        var configuration = ServiceGroupConfiguration(
            services: all.map { .init(service: $0) }
                + [
                    .init(
                        service: StopService(request: stop),
                        successTerminationBehavior: .gracefullyShutdownGroup)
                ],
            logger: logger)
        configuration.maximumGracefulShutdownDuration = drain.patience
        var started: Logger.Metadata = [
            "redis": "\(settings.redis.displayName)", "consumer": "\(settings.consumer)",
        ]
        if let http = process.http { started["http"] = "\(http)" }
        logger.notice("started", metadata: started)
        do {
            try await ServiceGroup(configuration: configuration).run()
        } catch let error as FreshetError {
            throw ToolError(error.cause?.code == .authentication ? .badConfiguration : .failed, error.message)
        }
    }

    /// A subscription of this worker's group with its settings. With `.perKey` the worker's records are its fence.
    ///
    /// - Parameters:
    ///   - start: where the group begins when it does not exist yet.
    ///   - acting: from where on handlers act that do more than change records (`SubscriptionOptions.actingFrom`): `.latest` for a group
    ///     that is to read history and tell nobody of it.
    ///   - kinds: which deliveries its handlers are for at most, and what those are for that do not say; nil for what each says.
    ///   - ordering: nil for what the settings say.
    public func subscribe(
        to topic: Topic, from start: StartPosition = .earliest, actingFrom acting: StartPosition? = nil,
        for kinds: DeliveryKinds? = nil, ordering: Ordering? = nil, @HandlerBuilder handlers: () -> [On]
    ) -> Subscription {
        var options = settings.subscription
        options.actingFrom = acting
        options.ordering = ordering ?? options.ordering
        if options.ordering == .perKey { options.fence = records }
        return Subscription(
            to: topic, group: settings.group, from: start, for: kinds, on: broker,
            consumer: settings.consumer,
            options: options, logger: logger, handlers: handlers)
    }

    /// Waits for a database that is not there yet. False when it was asked to stop before it was.
    private static func reach(
        _ database: any Records, _ process: Process, until stop: StopRequest, _ body: () async throws -> Void
    ) async throws -> Bool {
        let (health, logger) = (process.health, process.logger)
        let deadline = ContinuousClock.now + process.settings.connectTimeout
        var hasSaidSo = false
        while true {
            do {
                try await body()
                health.migrated(database, failure: nil)
                return true
            } catch let error as RecordsError where error.code == .unavailable {
                if stop.isMade { return false }
                guard ContinuousClock.now < deadline else { throw ToolError(error) }
                if !hasSaidSo { logger.warning("waiting for the database", metadata: ["reason": "\(error)"]) }
                hasSaidSo = true
                health.migrated(database, failure: "\(error)")
                try await Task.sleep(for: .milliseconds(200))
            } catch { throw ToolError(error) }
        }
    }

    /// False when it was asked to stop before there was a connection.
    private static func connect(
        _ client: RedisClient, within limit: Duration, until stop: StopRequest
    ) async throws -> Bool {
        try await withThrowingTaskGroup(of: Bool.self) { tasks in
            tasks.addTask {
                do throws(RedisError) {
                    try await client.connect(within: limit)
                    return true
                } catch {
                    switch error.code {
                    case .cancelled: return false
                    case .authentication, .invalidConfiguration:
                        throw ToolError(.badConfiguration, error.description)
                    default:
                        throw ToolError(.unreachable, "cannot reach Redis within \(limit): \(error.message)")
                    }
                }
            }
            tasks.addTask {
                await stop.wait()
                return false
            }
            defer { tasks.cancelAll() }
            return try await tasks.next() ?? false
        }
    }

    static func open(_ url: String) throws(ToolError) -> any Records {
        do { return try RecordsDatabase.open(url: url) } catch {
            throw ToolError(.badConfiguration, error.description)
        }
    }
}

extension RedisConfiguration {
    func named(_ name: String) -> RedisConfiguration {
        var configuration = self
        if configuration.clientName == nil { configuration.clientName = name }
        return configuration
    }
}
