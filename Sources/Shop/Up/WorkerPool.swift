internal import FoundationEssentials
internal import Freshet
internal import FreshetService
internal import FreshetTesting
internal import Glibc
internal import Synchronization

/// The workers as child processes: started, restarted when they die, stopped together.
final class WorkerPool: Sendable {
    private struct State {
        var children: [String: ChildProcess] = [:]
        var isStopping = false
        var restarts = 0
    }
    private let state = Mutex(State())
    private let folder: ShopFolder
    private let environment: [String: String]
    private let counts: [String: Int]

    init(folder: ShopFolder, redisURL: String, namespace: Namespace, counts: [String: Int]) {
        self.folder = folder
        self.counts = counts
        let own = ProcessInfo.processInfo.environment
        environment = own.merging(
            [
                "REDIS_URL": redisURL, "FRESHET_NAMESPACE": namespace.rawValue,
                "PAYMENT_PROVIDER_LEDGER": folder.databaseURL(of: "provider"),
                // One port is for one process.
                "HTTP_PORT": own["HTTP_PORT"] == nil ? "" : "0",
            ]
        ) { $1 }
    }

    /// How often a worker was started again.
    var restarts: Int { state.withLock { $0.restarts } }

    /// The process ids of the workers that run.
    var processIDs: [Int32] { state.withLock { $0.children.values.filter { $0.ending == nil }.map(\.id) } }

    /// Keeps the workers running until `stop`. Throws when one cannot run at all: it said so and gave up.
    func run() async throws {
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            for service in ShopTopology.services {
                for number in 1...max(1, counts[service] ?? 1) {
                    tasks.addTask { try await self.keep(service, "\(service)-\(number)") }
                }
            }
            try await tasks.waitForAll()
        }
    }

    /// Asks all workers to drain and waits for their end.
    func stop() async {
        let children = state.withLock { state in
            state.isStopping = true
            return Array(state.children.values)
        }
        await withTaskGroup(of: Void.self) { tasks in
            for child in children { tasks.addTask { _ = await child.stop(within: .seconds(40)) } }
        }
    }

    private func keep(_ service: String, _ name: String) async throws {
        let program = try Self.program("\(service)-worker")
        let log = "\(folder.logs)/\(name).log"
        while !Task.isCancelled {
            let started = ContinuousClock.now
            let environment = self.environment.merging(
                ["DATABASE_URL": folder.databaseURL(of: service), "LOG_FORMAT": "json"]
            ) { $1 }
            let child: ChildProcess? = try state.withLock { state in
                guard !state.isStopping else { return nil }
                let child = try ChildProcess(program, [], environment: environment, errors: .file(log))
                state.children[name] = child
                return child
            }
            guard let child else { return }
            let ending = await child.wait()
            if state.withLock({ $0.isStopping }) { return }
            if case .exited(let code) = ending,
                [ExitStatus.usage, .badConfiguration].map(\.rawValue).contains(code)
            {
                let last =
                    (try? String(contentsOfFile: log, encoding: .utf8))?.split(separator: "\n").last ?? ""
                throw ToolError(.failed, "\(name) cannot run: \(last)")
            }
            state.withLock { $0.restarts += 1 }
            StandardError.write("shop: \(name) ended (\(ending)), starting it again")
            // One that dies at once each time is not started in a tight loop.
            if ContinuousClock.now - started < .seconds(1) { try? await Task.sleep(for: .milliseconds(500)) }
        }
    }

    /// The workers stand beside this program.
    private static func program(_ name: String) throws -> String {
        guard let path = Programs.beside(name) else {
            throw ToolError(
                .failed, "'\(Programs.ownFolder)/\(name)' is not there: build all products (make build)")
        }
        return path
    }
}
