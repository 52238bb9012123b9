internal import ArgumentParser
internal import FoundationEssentials
internal import Freshet
internal import FreshetSchema
internal import FreshetService

extension Schema {
    struct Export: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Writes a JSON Schema of each event, and an AsyncAPI 3 document of the system.",
            discussion: """
                Each program is run with --describe, which every worker knows that has a contract; it connects to nothing. Then \
                TYPE.vN.json is written for each version of each event, and asyncapi.json. Other files in the folder stay. \
                The files' names are printed.

                Exit codes: 1 a program does not describe itself, or two say different things of one event.
                """)

        @Argument(help: "The programs. Every *-worker beside this one unless said otherwise.")
        var programs: [String] = []

        @Option(name: .customLong("to"), help: "The folder.") var folder = "schemas"
        @Option(help: "The system's name, for asyncapi.json. The services' unless said otherwise.")
        var title: String?

        func run() async throws {
            var services: [ServiceDescription] = []
            for program in try programs.isEmpty ? Self.workers() : programs {
                services.append(try await Self.description(program))
            }
            let system = try SystemDescription(services)
            for mismatch in system.unreadable { StandardError.write(mismatch) }
            do {
                try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
                var paths: [String] = []
                for (version, schema) in system.schemas.sorted(by: { $0.key < $1.key }) {
                    paths.append(try write(schema.json, to: version.fileName))
                }
                paths.append(try write(system.asyncAPI(title: title), to: "asyncapi.json"))
                // When all are there: whoever reads may go away.
                for path in paths { StandardOutput.write(path) }
            } catch { throw ToolError(.failed, "\(folder): cannot be written") }
        }

        private func write(_ document: JSONValue, to name: String) throws -> String {
            let path = "\(folder)/\(name)"
            try Data((document.text + "\n").utf8).write(to: URL(filePath: path), options: .atomic)
            return path
        }

        private static func description(_ program: String) async throws -> ServiceDescription {
            let outcome = try await ProgramOutcome.of(program, "--describe", within: .seconds(30))
            guard outcome.exitCode == 0 else {
                let lines = String(decoding: outcome.errors, as: UTF8.self).split(separator: "\n")
                throw ToolError(
                    .failed, "\(program) --describe: \(lines.last.map(String.init) ?? outcome.ending)")
            }
            do { return try ServiceDescription(json: outcome.output) } catch {
                throw ToolError(.failed, "\(program) --describe: \(error)")
            }
        }

        private static func workers() throws -> [String] {
            let own = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
            let folder = String(own[..<(own.lastIndex(of: "/") ?? own.startIndex)])
            let names = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
            let workers = names.filter { $0.hasSuffix("-worker") }.sorted().map { "\(folder)/\($0)" }
            guard !workers.isEmpty else {
                throw ToolError(.usage, "there is no *-worker beside freshet: say which programs")
            }
            return workers
        }
    }
}
