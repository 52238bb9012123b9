/// Something that a diagnosis found.
public struct Finding: Sendable, Codable, Hashable {
    /// How bad it is.
    public enum Severity: String, Sendable, Codable, Comparable, CaseIterable {
        /// To know; nothing has to be done.
        case info
        /// To be looked after before it becomes worse.
        case warning
        /// Events are lost, wrong or stuck, or will be soon.
        case critical

        /// By how bad they are.
        public static func < (left: Severity, right: Severity) -> Bool { left.rank < right.rank }
        private var rank: Int { Self.allCases.firstIndex(of: self) ?? 0 }
    }

    /// How bad it is.
    public let severity: Severity
    /// Which check found it: a word that stays the same.
    public let check: String
    /// Of what: a server, a topic, a group.
    public let subject: String
    /// What is so.
    public let problem: String
    /// What helps, mostly a command to run.
    public let remedy: String

    /// A finding.
    public init(_ severity: Severity, _ check: String, _ subject: String, _ problem: String, remedy: String) {
        self.severity = severity
        self.check = check
        self.subject = subject
        self.problem = problem
        self.remedy = remedy
    }
}
