import FoundationEssentials
import Freshet
import FreshetRecords
import FreshetTesting
import Glibc
import Hiredis
import Testing

/// The programs under test, as they were built beside the tests.
enum Program {
    struct Outcome {
        let ending: ChildProcess.Ending
        let output: String
        let errors: String
        var exitCode: Int32? { if case .exited(let code) = ending { code } else { nil } }
    }

    static func path(_ name: String) throws -> String {
        if name == "bash" { return "/bin/bash" }
        // The test bundle, or the runner that loads it, stands in the folder of the products.
        var folder = CommandLine.arguments[0]
        while let slash = folder.lastIndex(of: "/") {
            folder = String(folder[..<slash])
            if FileManager.default.isExecutableFile(atPath: "\(folder)/\(name)") {
                return "\(folder)/\(name)"
            }
        }
        throw Missing(description: "\(name) is not built: swift build --build-tests")
    }

    struct Missing: Error, CustomStringConvertible { let description: String }

    static func start(
        _ name: String, _ arguments: [String], environment: [String: String] = [:], in folder: Folder,
        input: String? = nil
    ) throws -> Running {
        let number = String(UInt32.random(in: 0 ... .max), radix: 36)
        let (output, errors) = (
            "\(folder.path)/\(name)-\(number).out", "\(folder.path)/\(name)-\(number).err"
        )
        var stream = ChildProcess.Stream.null
        if let input {
            let file = "\(folder.path)/\(name)-\(number).in"
            try input.write(toFile: file, atomically: false, encoding: .utf8)
            stream = .file(file)
        }
        var all = ProcessInfo.processInfo.environment.filter {
            !$0.key.hasPrefix("REDIS_") || $0.key == "REDIS_SERVER"
        }
        all["FRESHET_LEASE"] = "2"
        all.merge(environment) { $1 }
        let child = try ChildProcess(
            path(name), arguments, environment: all, input: stream, output: .file(output),
            errors: .file(errors))
        return Running(child: child, outputFile: output, errorFile: errors)
    }

    static func run(
        _ name: String, _ arguments: [String], environment: [String: String] = [:], in folder: Folder,
        input: String? = nil, within limit: Duration = .seconds(120)
    ) async throws -> Outcome {
        try await start(name, arguments, environment: environment, in: folder, input: input).outcome(
            within: limit)
    }
}

struct Running {
    let child: ChildProcess
    let outputFile: String
    let errorFile: String

    var output: String { (try? String(contentsOfFile: outputFile, encoding: .utf8)) ?? "" }
    var errors: String { (try? String(contentsOfFile: errorFile, encoding: .utf8)) ?? "" }

    /// Waits for the end; kills the program when it does not come in time.
    func outcome(within limit: Duration = .seconds(120)) async throws -> Program.Outcome {
        let ending = await withTaskGroup(of: Void.self) { tasks in
            tasks.addTask {
                try? await Task.sleep(for: limit)
                if !Task.isCancelled { child.signal(SIGKILL) }
            }
            let ending = await child.wait()
            tasks.cancelAll()
            return ending
        }
        return Program.Outcome(
            ending: ending, output: (try? String(contentsOfFile: outputFile, encoding: .utf8)) ?? "",
            errors: errors)
    }
}

/// A temporary folder of one test.
final class Folder {
    let path: String
    /// Where the services' records are; nil for files in `data`.
    let postgres: LocalPostgres?

    init(records postgres: LocalPostgres? = nil) throws {
        self.postgres = postgres
        path = "/tmp/freshet-e2e-\(String(UInt64.random(in: 0 ... .max), radix: 36))"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    /// As `shop up` lays it out.
    func makeData() async throws {
        try FileManager.default.createDirectory(atPath: "\(path)/data", withIntermediateDirectories: true)
        guard let postgres else { return }
        try await RecordsDatabase.open(url: postgres.url).transaction { transaction in
            for service in WorkerTests.services + ["provider"] {
                try transaction.enqueue("CREATE SCHEMA shop_\(service)")
            }
        }
        try postgres.url.write(toFile: "\(path)/data/database-url", atomically: false, encoding: .utf8)
    }

    /// A service's database.
    func databaseURL(of service: String) -> String {
        postgres.map { "\($0.url)&options=-csearch_path%3Dshop_\(service)" }
            ?? "sqlite:\(path)/data/\(service).db"
    }

    /// The first orders of the demo data as a file of their own.
    func demoOrders(_ count: Int) throws -> String {
        let lines = try Demo.text().split(separator: "\n").prefix(count + 1)
        let file = "\(path)/orders.csv"
        try (lines.joined(separator: "\n") + "\n").write(toFile: file, atomically: false, encoding: .utf8)
        return file
    }
}

enum Demo {
    static var path: String {
        // Tests/EndToEndTests/Support.swift
        let parts = #filePath.split(separator: "/").dropLast(3)
        return "/" + parts.joined(separator: "/") + "/Sources/Shop/DemoData/cdnow-sample-orders.csv"
    }
    static func text() throws -> String { try String(contentsOfFile: path, encoding: .utf8) }
}

/// Checks the shop's invariants with the shop's own tool, on the files it left or on a server that runs.
func verifyShop(_ folder: Folder, redisURL: String? = nil, archive: String? = nil) async throws {
    let url = redisURL.map { ["--redis-url", $0] } ?? []
    let outcome = try await Program.run(
        "shop",
        ["verify", "--data", "\(folder.path)/data"] + url + (archive.map { ["--archive", $0] } ?? []),
        in: folder)
    #expect(outcome.ending == .exited(0), "\(outcome.output) \(outcome.errors)")
}

struct SummaryFile: Decodable {
    struct Orders: Decodable { let placed, confirmed, cancelled: Int }
    struct Sum: Decodable { let count, minor: Int }
    struct Payments: Decodable { let captured, declined: Sum }
    struct Latency: Decodable { let p50, p99: Int }
    let placed: Int
    let orders: Orders
    let customers: Int
    let payments: Payments
    let dead: Int
    let invalid: Int
    let seconds: Double
    let eventsPerSecond: Int
    let latencyMs: Latency

    init(_ json: String) throws {
        self = try JSONDecoder().decode(SummaryFile.self, from: Data(json.utf8))
    }
}

/// Where the services' records are.
enum Store: CaseIterable {
    case sqlite, postgres

    /// Runs the body with a folder whose services keep their records there.
    func withFolder(_ body: (Folder) async throws -> Void) async throws {
        switch self {
        case .sqlite: try await body(Folder())
        case .postgres: try await withPostgres { try await body(Folder(records: $0)) }
        }
    }

    /// Runs the body with what `shop up` is to be told of it.
    func withRecords(_ body: ([String]) async throws -> Void) async throws {
        switch self {
        case .sqlite: try await body([])
        case .postgres: try await withPostgres { try await body(["--database-url", $0.url]) }
        }
    }
}
