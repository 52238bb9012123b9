internal import FoundationEssentials
internal import Freshet
internal import Hiredis
internal import Logging
internal import ServiceLifecycle
internal import Synchronization

/// Makes the rebuilds that are asked of a running worker's group (`replay run --mode rebuild`), while its subscriptions go on.
struct RebuildService: Service {
    private static let look = Duration.seconds(2)

    let worker: Worker
    let services: @Sendable (Worker) async throws -> [any Service]

    func run() async throws {
        // A drain ends a rebuild as well: nothing was changed then.
        await cancelWhenGracefulShutdown {
            while !Task.isCancelled {
                do { try await Task.sleep(for: Self.look) } catch { return }
                let request = try? await worker.broker.takeRebuild(
                    of: worker.settings.group, by: worker.settings.consumer)
                if let request { await make(request) }
            }
        }
    }

    private func make(_ request: RebuildRequest) async {
        let (broker, group) = (worker.broker, worker.settings.group)
        let progress = ReadSoFar()
        let fields: [String: String]
        do {
            let report = try await withThrowingTaskGroup(of: RebuildReport?.self) { tasks in
                tasks.addTask {
                    try await Rebuild.run(worker, options: request.options, services: services) {
                        done, total in
                        progress.note(done, total)
                    }
                }
                tasks.addTask {
                    while true {
                        try await Task.sleep(for: .seconds(1))
                        let (done, total) = progress.latest
                        _ = try? await broker.tell(
                            ["done": "\(done)", "total": "\(total)"], of: request.id, group)
                    }
                }
                defer { tasks.cancelAll() }
                return try await tasks.next() ?? nil
            }
            let text = try report.map { String(decoding: try JSONEncoder().encode($0), as: UTF8.self) }
            fields = ["state": RebuildStatus.State.done.rawValue, "report": text ?? "{}"]
        } catch {
            let reason = error is CancellationError ? "the worker was stopped" : ToolError(error).description
            worker.logger.warning(
                "a rebuild failed, and nothing was changed", metadata: ["reason": "\(reason)"])
            fields = ["state": RebuildStatus.State.failed.rawValue, "failure": reason]
        }
        // Also when this worker is being stopped.
        await Task { _ = try? await broker.tell(fields, of: request.id, group) }.value
    }
}

/// How far a rebuild is, for who tells others.
private final class ReadSoFar: Sendable {
    private let counts = Mutex((done: 0, total: 0))

    var latest: (done: Int, total: Int) { counts.withLock { $0 } }

    func note(_ done: Int, _ total: Int) { counts.withLock { $0 = (done, total) } }
}
