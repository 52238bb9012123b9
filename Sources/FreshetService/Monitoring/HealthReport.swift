internal import Freshet

/// What a health check has found, as monitors read it.
public struct HealthReport: Sendable {
    /// All figures.
    public let figures: [HealthCheck.Figure]

    /// A report of these figures.
    public init(_ figures: [HealthCheck.Figure]) { self.figures = figures }

    /// The worst of them.
    public var status: HealthCheck.Status { figures.map(\.status).max() ?? .unknown }

    /// What is wrong, the worst first; or how much was looked at.
    public var message: String {
        let wrong = figures.filter { $0.status != .ok }.sorted { $0.status > $1.status }
        guard !wrong.isEmpty else {
            let subjects = Set(figures.map(\.subject)).count
            func most(_ kind: HealthCheck.Kind) -> Double? {
                figures.filter { $0.kind == kind }.map(\.value).max()
            }
            var parts = [subjects == 1 ? figures.first?.subject ?? "" : "\(subjects) looked at"]
            if let lag = most(.lag) { parts.append("at most \(Spelled.count(Int(lag))) waiting") }
            if let age = most(.age) { parts.append("the oldest for \(Spelled.time(age))") }
            if let outbox = most(.outbox) { parts.append("outbox \(Spelled.time(outbox)) behind") }
            return parts.joined(separator: ", ")
        }
        let shown = wrong.prefix(5).map { figure in
            "\(figure.subject): \(figure.sentence)\(Self.limit(figure))"
        }
        let more = wrong.count > 5 ? "; and \(wrong.count - 5) more" : ""
        return shown.joined(separator: "; ") + more
    }

    private static func limit(_ figure: HealthCheck.Figure) -> String {
        let limit = figure.status == .critical ? figure.limits.critical : figure.limits.warning
        guard let limit else { return "" }
        let word = figure.status == .critical ? "critical" : "warning"
        let text = figure.kind.isTime ? Spelled.time(limit) : Spelled.count(Int(limit))
        return figure.kind == .consumers
            ? " (\(word) below \(text))" : " (\(word) from \(text))"
    }

    /// One line as plugins of Nagios print it: status, message, and behind the bar the figures with their limits.
    public var nagiosLine: String {
        let data = figures.map { figure in
            let label = Self.label("\(figure.subject) \(figure.kind.rawValue)")
            let unit = figure.kind.isTime ? "s" : ""
            // Fewer consumers are worse: a range says so.
            let colon = figure.kind == .consumers ? ":" : ""
            let limits = [figure.limits.warning, figure.limits.critical].map { limit in
                limit.map { Self.number($0) + colon } ?? ""
            }
            return "'\(label)'=\(Self.number(figure.value))\(unit);\(limits[0]);\(limits[1]);0"
        }
        let message = OneLine.escaped(message).replacing("|", with: "/")
        return "FRESHET \(status.word) - \(message)"
            + (data.isEmpty ? "" : " | \(data.joined(separator: " "))")
    }

    /// The same in the text format of Prometheus, for a file that its node exporter collects.
    public var prometheusText: String {
        var lines = ["# TYPE freshet_check_status gauge"]
        func labels(_ figure: HealthCheck.Figure) -> String {
            let subject = figure.subject.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"")
                .replacing("\n", with: "\\n")
            return "{subject=\"\(subject)\",check=\"\(figure.kind.rawValue)\"}"
        }
        for figure in figures {
            lines.append("freshet_check_status\(labels(figure)) \(figure.status.rawValue)")
        }
        lines.append("# TYPE freshet_check_value gauge")
        for figure in figures {
            lines.append("freshet_check_value\(labels(figure)) \(Self.number(figure.value))")
        }
        return lines.joined(separator: "\n")
    }

    private static func label(_ text: String) -> String {
        OneLine.escaped(text).replacing("'", with: "").replacing("=", with: "").replacing("|", with: "/")
    }

    /// `12`, `0.25`.
    private static func number(_ value: Double) -> String {
        guard value.magnitude < 1e15 else { return "\(value)" }
        if value == value.rounded() { return "\(Int(value))" }
        return "\((value * 1000).rounded() / 1000)"
    }
}

extension HealthCheck.Kind {
    var isTime: Bool { self == .age || self == .outbox }
}
