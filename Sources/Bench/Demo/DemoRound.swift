internal import FoundationEssentials
internal import FreshetTesting
internal import Glibc

/// One run of the shop in a folder of its own.
struct DemoRound: Sendable {
    /// What came of it.
    struct Result: Sendable {
        let summary: ShopSummary
        let processes: ProcessWatch
    }

    let orders: String
    let databaseURL: String?
    /// PostgreSQL's first process.
    let postgres: Int32?

    func run() async throws -> Result {
        let folder = "/tmp/freshet-demo-\(String(UInt32.random(in: 0 ... .max), radix: 36))"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let (output, errors) = ("\(folder)/summary", "\(folder)/errors")
        var arguments = ["up", "--orders", orders, "--data", "\(folder)/data", "--format", "json"]
        arguments += ["--exit-when-settled"] + (databaseURL.map { ["--database-url", $0] } ?? [])
        let shop = try ChildProcess(
            try Subject.program("shop"), arguments, output: .file(output), errors: .file(errors))
        let processes = await withTaskCancellationHandler {
            await watch(shop)
        } onCancel: {
            // It stops its server and workers.
            shop.signal(SIGTERM)
        }
        let ending = await shop.wait()
        try Task.checkCancellation()
        guard ending == .exited(0) else {
            let text = (try? String(contentsOfFile: errors, encoding: .utf8)) ?? ""
            throw BenchError("the shop ended (\(ending)): \(text.split(separator: "\n").last ?? "")")
        }
        let summary = try JSONDecoder().decode(
            ShopSummary.self, from: try Data(contentsOf: URL(filePath: output)))
        return Result(summary: summary, processes: processes)
    }

    private func watch(_ shop: ChildProcess) async -> ProcessWatch {
        var processes = ProcessWatch(shop.id, postgres: postgres)
        while shop.ending == nil, !Task.isCancelled {
            processes.look()
            // A drained worker is gone from /proc: what it did since the last look is not seen.
            try? await Task.sleep(for: .milliseconds(50))
        }
        return processes
    }
}

/// What the bench reads of the shop's summary.
struct ShopSummary: Decodable, Sendable {
    struct Orders: Decodable, Sendable {
        let confirmed: Int
        let cancelled: Int
    }
    struct Payments: Decodable, Sendable {
        struct Sum: Decodable, Sendable {
            let count: Int
        }
        let captured: Sum
        let declined: Sum
    }
    let placed: Int
    let orders: Orders
    let customers: Int
    let payments: Payments
    let seconds: Double
}
