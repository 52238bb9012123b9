import FoundationEssentials
import Freshet
import FreshetTesting
import Testing

/// The commands of docs/recovery.md, as they stand there.
struct Runbook {
    private let steps: [String: String]
    private let environment: [String: String]
    private let folder: Folder

    init(_ server: LocalRedisServer, _ folder: Folder) throws {
        // Tests/EndToEndTests/Runbook.swift
        let root = "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
        let text = try String(contentsOfFile: "\(root)/docs/recovery.md", encoding: .utf8)
        var (steps, name) = ([String: String](), String?.none)
        for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
            if line.hasPrefix("```sh ") {
                name = String(line.dropFirst("```sh ".count))
            } else if line == "```" {
                name = nil
            } else if let name {
                steps[name, default: ""] += "\(line)\n"
            }
        }
        self.steps = steps
        self.folder = folder
        let programs = try Program.path("replay").split(separator: "/").dropLast().joined(separator: "/")
        environment = [
            "PATH": "/\(programs):/usr/bin:/bin", "REDIS_URL": server.url, "FRESHET_NAMESPACE": "shop",
            "ORDER_DB": folder.databaseURL(of: "order"), "CUSTOMER_DB": folder.databaseURL(of: "customer"),
            "PAYMENT_DB": folder.databaseURL(of: "payment"), "ARCHIVE": "\(folder.path)/archive",
            "PAYMENT_PROVIDER_LEDGER": folder.databaseURL(of: "provider"),
        ]
    }

    /// The names of all steps.
    var names: Set<String> { Set(steps.keys) }

    /// Runs a step's commands one after the other, and expects this exit code.
    @discardableResult
    func run(_ name: String, exitCode: Int32 = 0) async throws -> Program.Outcome {
        let step = try #require(steps[name], "no step '\(name)' in docs/recovery.md")
        let script = "\(folder.path)/\(name).sh"
        try ("set -eu\n" + step).write(toFile: script, atomically: false, encoding: .utf8)
        let outcome = try await Program.run("bash", [script], environment: environment, in: folder)
        #expect(outcome.exitCode == exitCode, "\(name): \(outcome.output) \(outcome.errors)")
        return outcome
    }
}
