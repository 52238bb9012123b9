internal import Logging
public import ServiceLifecycle

/// What was waited for did not come about in time.
public struct NotInTime: Error, CustomStringConvertible {
    /// What was waited for, and how long.
    public let description: String
}

/// Waits until the condition holds, looking every few milliseconds, instead of sleeping for as long as it may take.
///
/// - Parameter last: what was seen last, for the error.
/// - Throws: `NotInTime` when it does not hold within the limit, and what the condition throws.
public func eventually(
    _ what: String, within limit: Duration = .seconds(30), showing last: @autoclosure () -> String = "",
    _ condition: () async throws -> Bool
) async throws {
    let deadline = ContinuousClock.now + limit
    while try await !condition() {
        guard ContinuousClock.now < deadline else {
            let last = last()
            throw NotInTime(description: "not in \(limit): \(what)\(last.isEmpty ? "" : "\n\(last)")")
        }
        try await Task.sleep(for: .milliseconds(5))
    }
}

/// Runs services (subscriptions, an outbox's relay) beside the body, and shuts them down gracefully at its end, as a
/// service group does on SIGTERM. When the body throws they are cancelled.
public func running(_ services: any Service..., body: () async throws -> Void) async throws {
    let quiet = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
    let group = ServiceGroup(
        configuration: .init(services: services.map { .init(service: $0) }, logger: quiet))
    try await withThrowingTaskGroup(of: Void.self) { tasks in
        tasks.addTask { try await group.run() }
        do {
            try await body()
        } catch {
            tasks.cancelAll()
            throw error
        }
        await group.triggerGracefulShutdown()
        try await tasks.waitForAll()
    }
}
