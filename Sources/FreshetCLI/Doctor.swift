internal import ArgumentParser
internal import FoundationEssentials
internal import Freshet
internal import FreshetService

/// `freshet doctor`
struct Doctor: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Looks for what goes wrong with such systems; each finding with its remedy.",
        discussion: """
            Examples:
              freshet doctor
              freshet doctor --format ndjson | jq -r 'select(.severity == "critical") | .remedy'
              freshet doctor --database-url postgres://payment@db/payment --database-url sqlite:order.db
              freshet doctor --acl-user payment      what this user lacks, asked by one that may (ACL|DRYRUN)

            It looks at the server (version, persistence, memory and eviction, replicas, the cluster's slots, clocks), at what the user
            may do, at each topic and group (types of keys, limits, retention that is held back, entries that someone else cut
            off, missing groups, dead consumers, late retries, dead letters), at replays that stopped, and at services' databases
            (reachable, migrated, outbox). It changes nothing, and costs the server no more on a large stream than on a
            small one. What the user may not look at is said, and the rest is looked at.

            Exit codes: 0 nothing above info, 1 warnings, 2 critical findings; others as 'freshet --help' says.
            """)

    @Option(
        name: .customLong("database-url"),
        help: "A service's database, also several; it is only read. [DATABASE_URL]")
    var databaseURL: [String] = []
    @Option(help: "Whose rights to look at; the connected user's, unless said.") var aclUser: String?
    @OptionGroup var leases: LeaseOptions
    @OptionGroup var connection: ConnectionOptions
    @OptionGroup var output: OutputOptions

    func run() async throws {
        let lease = try leases.chosen()
        var databases = databaseURL
        if databases.isEmpty, let url = ProcessInfo.processInfo.environment["DATABASE_URL"], !url.isEmpty {
            databases = [url]
        }
        let findings = try await connection.withBroker { broker in
            try await Diagnosis(of: broker, lease: lease, databases: databases, user: aclUser).run()
        }
        if output.kind == .table {
            for finding in findings {
                let word = finding.severity.rawValue.uppercased()
                let padding = String(repeating: " ", count: max(0, 8 - word.count))
                StandardOutput.write(
                    OneLine.escaped(
                        "\(word)\(padding)  \(finding.subject): \(finding.problem) [\(finding.check)]"))
                StandardOutput.write(OneLine.escaped("          -> \(finding.remedy)"))
            }
        } else {
            try output.show(findings, columns: [])
        }
        switch findings.first?.severity {
        case .critical: throw ExitCode(HealthCheck.Status.critical.rawValue)
        case .warning: throw ExitCode(HealthCheck.Status.warning.rawValue)
        case .info, nil: StandardError.write("Nothing is wrong.")
        }
    }
}
