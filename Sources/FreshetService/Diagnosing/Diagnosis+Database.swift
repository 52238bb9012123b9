internal import Freshet
package import FreshetRecords

extension Diagnosis {
    /// Whether a service's database is there, has its tables, and its outbox is emptied.
    func database(_ url: String) async -> [Finding] {
        let name = Self.withoutPassword(url)
        let look: RecordsLook
        do { look = try await RecordsDatabase.look(url: url) } catch {
            let isWrong = (error as? RecordsError)?.code == .invalidURL
            return [
                Finding(
                    .critical, "database", name,
                    "cannot be reached: \((error as? RecordsError)?.description ?? "\(error)")",
                    remedy: isWrong
                        ? "the URL is sqlite:PATH or postgres://user@host/database"
                        : "look whether it runs and lets this machine in; services wait for it without using up attempts"
                )
            ]
        }
        return Self.findings(look, name)
    }

    /// What follows from a look at a database.
    package static func findings(_ look: RecordsLook, _ name: String) -> [Finding] {
        var findings: [Finding] = []
        let step = look.steps["freshet"] ?? 0
        if step < look.knownStep {
            findings.append(
                Finding(
                    .warning, "migrations", name,
                    step == 0
                        ? "has no tables of a service yet"
                        : "has step \(step) of the inbox and outbox, and this version needs \(look.knownStep)",
                    remedy: "WORKER --migrate-only, or start a worker: it completes the tables"))
        } else if step > look.knownStep {
            findings.append(
                Finding(
                    .warning, "migrations", name,
                    "has step \(step) of the inbox and outbox, and this version knows \(look.knownStep): it is older than the services",
                    remedy: "use the freshet of the services' version; older workers refuse to start on it"))
        }
        if let age = look.oldestUnpublishedSeconds, age > 60 {
            let many = look.unpublished >= RecordsLook.most ? "+" : ""
            findings.append(
                Finding(
                    age > 600 ? .critical : .warning, "outbox", name,
                    "\(Spelled.count(look.unpublished))\(many) events of the outbox are not published, the oldest for \(Spelled.time(age))",
                    remedy:
                        "start a worker of the service: it publishes them; if one runs, its log says why it cannot"
                ))
        }
        return findings
    }

    /// As it may be shown.
    package static func withoutPassword(_ url: String) -> String {
        guard let start = url.firstRange(of: "://")?.upperBound else {
            return String(url.prefix { $0 != "?" })
        }
        let rest = url[start...].prefix { $0 != "?" }
        guard let at = rest.lastIndex(of: "@") else { return String(url[..<start] + rest) }
        let user = rest[..<at].prefix { $0 != ":" }
        return "\(url[..<start])\(user)\(rest[at...])"
    }
}
