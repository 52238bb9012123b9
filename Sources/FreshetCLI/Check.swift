internal import ArgumentParser
internal import FoundationEssentials
internal import Freshet
internal import FreshetRecords
internal import FreshetService
internal import Glibc

/// `freshet check`
struct Check: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "For monitors: one line, and the exit codes OK 0, WARNING 1, CRITICAL 2, UNKNOWN 3.",
        discussion: """
            Examples:
              freshet check
              freshet check age dead --topic orders --group payment --warn-age 30s --crit-age 2m
              freshet check lag --warn-lag 1000 --crit-lag 10000 --format json
              freshet check consumers --group payment --warn-consumers 2
              freshet check outbox --database-url postgres://payment@db/payment
              freshet check --format prometheus > /var/lib/node_exporter/freshet.prom

            lag        events that nobody has taken                         (no limit unless given)
            age        how long the oldest waits that is not settled        (warning from 60s, critical from 5m)
            pending    events that consumers hold                           (no limit unless given)
            dead       dead letters                                         (warning from 1)
            consumers  those that live                                      (critical: events wait and none is there)
            outbox     how long its oldest event waits, with a database     (warning from 60s, critical from 5m)

            Without a name all are looked at, the outbox with --database-url. A limit counts from its value on, --warn-consumers and
            --crit-consumers below it.

            UNKNOWN (3) is also a server that cannot be reached, a name that does not exist, a namespace without groups, a wrong
            option. All other commands exit as 'freshet --help' says.
            """)

    /// How a monitor reads it.
    enum Format: String, ExpressibleByArgument, CaseIterable { case nagios, json, prometheus }

    @Argument(help: "What to look at: lag, age, pending, dead, consumers, outbox. All, unless said.")
    var what: [HealthCheck.Kind] = []
    @OptionGroup var selection: GroupSelection
    @Option(help: "Events.") var warnLag: Int?
    @Option(help: "Events.") var critLag: Int?
    @Option(help: "30s, 5m, 1h.", transform: Duration.parsing) var warnAge: Duration?
    @Option(help: "30s, 5m, 1h.", transform: Duration.parsing) var critAge: Duration?
    @Option(help: "Events.") var warnPending: Int?
    @Option(help: "Events.") var critPending: Int?
    @Option(help: "Dead letters.") var warnDead: Int?
    @Option(help: "Dead letters.") var critDead: Int?
    @Option(help: "Fewer consumers than this.") var warnConsumers: Int?
    @Option(help: "Fewer consumers than this.") var critConsumers: Int?
    @Option(help: "30s, 5m, 1h.", transform: Duration.parsing) var warnOutbox: Duration?
    @Option(help: "30s, 5m, 1h.", transform: Duration.parsing) var critOutbox: Duration?
    @Option(
        name: .customLong("database-url"),
        help: "A service's database, for outbox; it is only read. [DATABASE_URL, when outbox is named]")
    var databaseURL: String?
    @Option(help: "nagios (one line), json, or prometheus (text).") var format = Format.nagios
    @OptionGroup var leases: LeaseOptions
    @OptionGroup var connection: ConnectionOptions

    func validate() throws {
        for (kind, limits) in try limits() {
            guard let warning = limits.warning, let critical = limits.critical else { continue }
            if kind == .consumers ? warning < critical : warning > critical {
                throw ValidationError(
                    "--warn-\(kind.rawValue) would never be reached: it lies behind --crit-\(kind.rawValue)")
            }
        }
        if what == [.outbox], selection.topic != nil || selection.group != nil {
            throw ValidationError("an outbox is its database's: --topic and --group go with the others")
        }
    }

    /// What is looked at, with its limits.
    private func limits() throws -> [HealthCheck.Kind: HealthCheck.Limits] {
        func seconds(_ duration: Duration?) -> Double? { duration.map { $0 / .seconds(1) } }
        let given: [HealthCheck.Kind: (warning: Double?, critical: Double?)] = [
            .lag: (warnLag.map(Double.init), critLag.map(Double.init)),
            .age: (seconds(warnAge), seconds(critAge)),
            .pending: (warnPending.map(Double.init), critPending.map(Double.init)),
            .dead: (warnDead.map(Double.init), critDead.map(Double.init)),
            .consumers: (warnConsumers.map(Double.init), critConsumers.map(Double.init)),
            .outbox: (seconds(warnOutbox), seconds(critOutbox)),
        ]
        var limits: [HealthCheck.Kind: HealthCheck.Limits] = [:]
        for (kind, standard) in HealthCheck.standard {
            let (warning, critical) = given[kind] ?? (nil, nil)
            for limit in [warning, critical].compactMap({ $0 }) where limit < 0 {
                throw ValidationError("a limit of \(kind.rawValue) is a number from 0")
            }
            guard what.isEmpty || what.contains(kind) else {
                if warning != nil || critical != nil {
                    throw ValidationError(
                        "a limit of \(kind.rawValue) is given, and \(kind.rawValue) is not looked at")
                }
                continue
            }
            // With one limit given the other standard one would say something that nobody asked for.
            limits[kind] =
                warning == nil && critical == nil
                ? standard : HealthCheck.Limits(warning: warning, critical: critical)
        }
        return limits
    }

    func run() async throws {
        var limits = try limits()
        var database = databaseURL
        if what.contains(.outbox), database == nil {
            database = ProcessInfo.processInfo.environment["DATABASE_URL"].flatMap { $0.isEmpty ? nil : $0 }
            guard database != nil else {
                throw ToolError(.usage, "outbox needs a database: --database-url or DATABASE_URL")
            }
        }
        if database == nil { limits[.outbox] = nil }
        let check = HealthCheck(limits)
        var figures: [HealthCheck.Figure] = []
        if limits.keys.contains(where: { $0 != .outbox }) {
            let lease = try leases.chosen()
            figures += try await connection.withBroker { broker in
                let looks = try await broker.groupLooks(
                    topic: selection.topic, group: selection.group, lease: lease)
                if looks.isEmpty {
                    try await selection.explainNothing(broker)
                    throw ToolError(.failed, "there are no groups in the namespace '\(broker.namespace)'")
                }
                return looks.flatMap(check.figures)
            }
        }
        if let database {
            figures += check.figures(try await RecordsDatabase.look(url: database), of: database)
        }
        let report = HealthReport(figures)
        try print(report)
        throw ExitCode(report.status.rawValue)
    }

    private struct Row: Encodable {
        let subject: String
        let check: HealthCheck.Kind
        let status: String
        let value: Double
        let warning, critical: Double?
        let sentence: String
    }

    private struct Document: Encodable {
        let status: String
        let exitCode: Int32
        let message: String
        let checks: [Row]
    }

    private func print(_ report: HealthReport) throws {
        switch format {
        case .nagios: StandardOutput.write(report.nagiosLine)
        case .prometheus: StandardOutput.write(report.prometheusText)
        case .json:
            let rows = report.figures.map {
                Row(
                    subject: $0.subject, check: $0.kind, status: $0.status.word, value: $0.value,
                    warning: $0.limits.warning, critical: $0.limits.critical, sentence: $0.sentence)
            }
            StandardOutput.write(
                try OutputOptions.json(
                    Document(
                        status: report.status.word, exitCode: report.status.rawValue, message: report.message,
                        checks: rows), pretty: true))
        }
    }

    /// What a monitor is told when something went wrong: UNKNOWN, on standard output.
    static func endUnknown(_ error: ToolError) -> Never {
        let status = HealthCheck.Status.unknown
        let document = Document(
            status: status.word, exitCode: status.rawValue, message: error.description, checks: [])
        if CommandLine.arguments.contains("json"), let json = try? OutputOptions.json(document, pretty: true)
        {
            StandardOutput.write(json)
        } else {
            let message = OneLine.escaped(error.description).replacing("|", with: "/")
            StandardOutput.write("FRESHET \(status.word) - \(message)")
        }
        Glibc.exit(status.rawValue)
    }
}
