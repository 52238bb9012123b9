internal import Glibc
internal import Synchronization

/// What Ctrl-C does to a tool: it ends it at once with `ExitStatus.interrupted`, except while something is under way that
/// wants to stop between two steps and say how far it came.
public enum Interruption {
    private static let isDeferred = Atomic(false)
    private static let requested = Atomic(false)

    /// Takes charge of SIGINT. Services have a drain of their own and do not call this.
    public static func begin() {
        // Before the handler can run: it must not be the first to touch them.
        isDeferred.store(false, ordering: .relaxed)
        requested.store(false, ordering: .relaxed)
        _ = signal(SIGINT) { _ in Interruption.handle() }
    }

    /// Takes charge of SIGTERM as well, for a tool that also runs as a service.
    public static func includeTermination() {
        _ = signal(SIGTERM) { _ in Interruption.handle() }
    }

    /// Runs the body; a Ctrl-C meanwhile only sets `isRequested`, a second one ends the tool at once.
    public static func deferred<R>(_ body: () async throws -> R) async rethrows -> R {
        isDeferred.store(true, ordering: .sequentiallyConsistent)
        defer { isDeferred.store(false, ordering: .sequentiallyConsistent) }
        return try await body()
    }

    /// Whether someone wants to stop.
    public static var isRequested: Bool { requested.load(ordering: .sequentiallyConsistent) }

    /// Runs in a signal handler: nothing here but atomics and `_exit`.
    private static func handle() {
        if isDeferred.load(ordering: .sequentiallyConsistent),
            !requested.exchange(true, ordering: .sequentiallyConsistent)
        {
            return
        }
        _exit(ExitStatus.interrupted.rawValue)
    }
}
