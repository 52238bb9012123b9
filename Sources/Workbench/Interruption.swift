internal import ArgumentParser
internal import UnixSignals

/// Runs the body, or cancels it on SIGINT and SIGTERM and exits with 130 once it has cleaned up: a server that was
/// started is stopped in any case.
package func untilInterrupted(_ body: @escaping @Sendable () async throws -> Void) async throws {
    let signals = await UnixSignalsSequence(trapping: .sigterm, .sigint)
    try await withThrowingTaskGroup(of: Void.self) { tasks in
        tasks.addTask { try await body() }
        tasks.addTask {
            for await _ in signals { throw ExitCode(130) }
        }
        defer { tasks.cancelAll() }
        try await tasks.next()
    }
}
