internal import FoundationEssentials
internal import FreshetTesting
internal import Glibc

/// Who is measured: a program, started anew for each measurement.
struct Subject: Sendable {
    /// For progress and errors.
    let name: String
    /// Which part of the traces is recorded; nil for no traces.
    private var traces: Double?
    private let program: String
    private let arguments: @Sendable (Work, _ warmUp: Int, _ events: Int, _ database: String) -> [String]

    /// This client, in this program.
    static func swift(
        url: String, named name: String = "Swift", with telemetry: [Telemetry] = [], sampled: Double = 1
    ) throws -> Subject {
        Subject(
            name: name, traces: telemetry.contains(.traces) ? sampled : nil,
            program: try Self.program("bench")
        ) { work, warmUp, events, database in
            [
                "measure", "--url", url, "--work", work.name, "--warm-up", "\(warmUp)",
                "--events", "\(events)", "--stream", BenchServer.stream(of: work), "--group",
                BenchServer.group, "--database", database,
            ] + telemetry.flatMap { ["--with", $0.rawValue] } + ["--sampled", "\(sampled)"]
        }
    }

    /// Plain hiredis, in C.
    static func c(address: String) throws -> Subject {
        Subject(name: "C", program: try Self.program("floor-bench")) { work, warmUp, events, database in
            [
                address, work.name, "\(warmUp)", "\(events)", BenchServer.stream(of: work), BenchServer.group,
                database,
            ]
        }
    }

    /// One measurement in a process of its own, after the server was prepared for it.
    func measure(_ work: Work, events: Int, on server: BenchServer) async throws -> Sample {
        let events = Self.rounded(events, to: work.unit)
        let warmUp = work.warmsUp ? Self.rounded(events / 10, to: work.unit) : 0
        try await server.prepare(work, entries: warmUp + events, traces: traces)
        let output = "\(server.local.folder)/measurement"
        let database = "\(server.local.folder)/records.db"
        for file in [output, database, "\(database)-wal", "\(database)-shm", "\(database).archive"] {
            try? FileManager.default.removeItem(atPath: file)
        }
        let child = try ChildProcess(
            program, arguments(work, warmUp, events, database), output: .file(output), errors: .inherited)
        let ending = await withTaskCancellationHandler {
            await child.wait()
        } onCancel: {
            child.signal(SIGKILL)
        }
        try Task.checkCancellation()
        guard ending == .exited(0) else { throw BenchError("\(work.name) in \(name): \(ending)") }
        return try JSONDecoder().decode(Sample.self, from: try Data(contentsOf: URL(filePath: output)))
    }

    private static func rounded(_ events: Int, to unit: Int) -> Int {
        max(1, (events + unit - 1) / unit) * unit
    }

    /// All programs stand side by side.
    static func program(_ name: String) throws -> String {
        guard let path = Programs.beside(name) else {
            throw BenchError("'\(Programs.ownFolder)/\(name)' is not there: build it too (make bench)")
        }
        return path
    }
}
