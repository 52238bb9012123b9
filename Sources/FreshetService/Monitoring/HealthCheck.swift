public import Freshet
public import FreshetRecords

/// What a monitor is told: figures of groups and outboxes, held against limits.
public struct HealthCheck: Sendable {
    /// How something stands, with the exit codes that monitors expect of a plugin.
    public enum Status: Int32, Sendable, Comparable, CaseIterable {
        /// Within its limits.
        case ok = 0
        /// Past the first limit.
        case warning = 1
        /// Past the second.
        case critical = 2
        /// It could not be looked at.
        case unknown = 3

        /// As monitors print it.
        public var word: String {
            switch self {
            case .ok: "OK"
            case .warning: "WARNING"
            case .critical: "CRITICAL"
            case .unknown: "UNKNOWN"
            }
        }

        /// By how much a person is needed: what is not known comes last.
        public static func < (left: Status, right: Status) -> Bool { left.rawValue < right.rawValue }
    }

    /// What is measured.
    public enum Kind: String, Sendable, Codable, CaseIterable {
        /// Entries that nobody has taken, as far as they were counted.
        case lag
        /// Seconds that the oldest entry which is not settled waits.
        case age
        /// Entries that consumers hold.
        case pending
        /// Dead letters.
        case dead
        /// Living consumers: too few are bad.
        case consumers
        /// Seconds that the oldest event of an outbox waits to be published.
        case outbox
    }

    /// From where on a figure is bad; for consumers below where.
    public struct Limits: Sendable, Hashable {
        /// Nil is never.
        public var warning: Double?
        /// Nil is never.
        public var critical: Double?

        /// Limits.
        public init(warning: Double? = nil, critical: Double? = nil) {
            (self.warning, self.critical) = (warning, critical)
        }
    }

    /// A figure, and what it means.
    public struct Figure: Sendable {
        /// Of what: `orders/payment`, or a database.
        public let subject: String
        /// What was measured.
        public let kind: Kind
        /// In seconds for times.
        public let value: Double
        /// The limits that it was held against.
        public let limits: Limits
        /// How it stands.
        public let status: Status
        /// The same for people.
        public let sentence: String
    }

    /// The limits by kind; a kind that is not in it is not looked at.
    public let limits: [Kind: Limits]

    /// A check against these limits.
    public init(_ limits: [Kind: Limits]) { self.limits = limits }

    /// What holds where nobody says otherwise: what waits for a minute is worth a look and for five minutes an alarm, so is each dead
    /// letter, and a group that has work and no consumer.
    public static let standard: [Kind: Limits] = [
        .lag: Limits(), .age: Limits(warning: 60, critical: 300), .pending: Limits(),
        .dead: Limits(warning: 1),
        .consumers: Limits(), .outbox: Limits(warning: 60, critical: 300),
    ]

    /// The figures of a group.
    public func figures(_ look: GroupLook) -> [Figure] {
        let report = look.report
        let alive = look.consumers.count { $0.state != .dead }
        let hasWork = report.waiting + report.pending + report.delayed > 0
        let subject = "\(report.topic)/\(report.group)"
        var figures: [Figure] = []
        for kind in Kind.allCases where kind != .outbox {
            guard let limits = limits[kind] else { continue }
            let figure: Figure =
                switch kind {
                case .lag:
                    Self.figure(
                        subject, kind, Double(report.waiting), limits,
                        "\(Spelled.count(report.waiting))\(report.lagKnown ? "" : "+") wait")
                case .age:
                    Self.figure(
                        subject, kind, report.oldestWaitingSeconds ?? 0, limits,
                        "the oldest event waits for \(Spelled.time(report.oldestWaitingSeconds ?? 0))")
                case .pending:
                    Self.figure(
                        subject, kind, Double(report.pending), limits,
                        "\(Spelled.count(report.pending)) are with consumers")
                case .dead:
                    Self.figure(
                        subject, kind, Double(report.dead), limits, Spelled.number(report.dead, "dead letter")
                    )
                default:
                    Self.consumers(subject, alive, hasWork: hasWork, limits)
                }
            figures.append(figure)
        }
        return figures
    }

    /// The figure of a service's outbox.
    public func figures(_ look: RecordsLook, of database: String) -> [Figure] {
        guard let limits = limits[.outbox] else { return [] }
        let age = look.oldestUnpublishedSeconds ?? 0
        return [
            Self.figure(
                Diagnosis.withoutPassword(database), .outbox, age, limits,
                "\(Spelled.count(look.unpublished)) of the outbox are not published, the oldest for \(Spelled.time(age))"
            )
        ]
    }

    private static func figure(
        _ subject: String, _ kind: Kind, _ value: Double, _ limits: Limits, _ sentence: String
    ) -> Figure {
        let status: Status
        if let critical = limits.critical, value >= critical {
            status = .critical
        } else if let warning = limits.warning, value >= warning {
            status = .warning
        } else {
            status = .ok
        }
        return Figure(
            subject: subject, kind: kind, value: value, limits: limits, status: status, sentence: sentence)
    }

    private static func consumers(_ subject: String, _ alive: Int, hasWork: Bool, _ limits: Limits) -> Figure
    {
        var status = Status.ok
        if alive == 0, hasWork {
            status = .critical
        } else if let critical = limits.critical, Double(alive) < critical {
            status = .critical
        } else if let warning = limits.warning, Double(alive) < warning {
            status = .warning
        }
        let sentence =
            alive == 0
            ? hasWork ? "events wait and no consumer is there" : "no consumer is there"
            : alive == 1 ? "one consumer is there" : "\(Spelled.count(alive)) consumers are there"
        return Figure(
            subject: subject, kind: .consumers, value: Double(alive), limits: limits, status: status,
            sentence: sentence)
    }
}
