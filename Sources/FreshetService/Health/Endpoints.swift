/// What a process answers over HTTP, whichever server asks it.
struct Endpoints: Sendable {
    struct Answer: Sendable, Equatable {
        var status = 200
        var contentType = "text/plain; charset=utf-8"
        var allow: String?
        var body: String
    }

    let health: Health
    /// The metrics in Prometheus' text format; nil for none.
    let metrics: (@Sendable () async -> String)?

    /// - Parameter query: what follows the `?`.
    func answer(method: String, path: String, query: String) async -> Answer {
        let question = Health.Question.allCases.first { path == $0.path }
        guard question != nil || path == "/metrics" && metrics != nil else {
            return Answer(status: 404, body: "not found: there are /livez, /readyz, /startupz and /metrics\n")
        }
        guard method == "GET" || method == "HEAD" else {
            return Answer(status: 405, allow: "GET, HEAD", body: "GET only\n")
        }
        guard let question else {
            return Answer(
                contentType: "text/plain; version=0.0.4; charset=utf-8", body: await metrics?() ?? "")
        }
        let options = query.split(separator: "&").map { $0.prefix { $0 != "=" } }
        return await answer(question, isVerbose: options.contains("verbose"))
    }

    /// As Kubernetes' own components answer: a line for each check when it is asked for, or when one has failed.
    private func answer(_ question: Health.Question, isVerbose: Bool) async -> Answer {
        let checks = await health.checks(for: question)
        let isWell = checks.allSatisfy { $0.failure == nil }
        guard isVerbose || !isWell else { return Answer(body: "ok\n") }
        let lines = checks.map { check in
            check.failure.map { "[-]\(check.name) failed: \(OneLine.escaped($0))\n" }
                ?? "[+]\(check.name) ok\n"
        }
        return Answer(
            status: isWell ? 200 : 503,
            body: lines.joined() + "\(question.path.dropFirst()) check \(isWell ? "passed" : "failed")\n")
    }
}
