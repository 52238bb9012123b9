internal import Dispatch
internal import Freshet
internal import Glibc
internal import Logging
internal import ServiceLifecycle
internal import Synchronization

/// The way out: from the request to stop until the process has ended, and how long that may take.
///
/// For most of its time a drain waits for handlers, and those that are not ready shortly before the limit are cancelled. At
/// the limit the process ends whatever still runs: the grace period of who kills it lies behind.
final class Drain: Sendable {
    private struct State {
        var subscriptions: [Subscription] = []
        var began: ContinuousClock.Instant?
        var isOver = false
    }
    let limit: Duration
    private let logger: Logger
    private let state = Mutex(State())

    init(within limit: Duration, _ logger: Logger) {
        self.limit = limit
        self.logger = logger
    }

    /// How long handlers have: a little is left for those that end because they are cancelled.
    var patience: Duration { limit - min(.seconds(1), limit / 10) }

    /// Whose deliveries count.
    func watch(_ services: [any Service]) {
        state.withLock { $0.subscriptions = services.compactMap { $0 as? Subscription } }
    }

    /// How many deliveries are not settled.
    private var unsettled: Int {
        state.withLock(\.subscriptions).reduce(0) { $0 + $1.unsettled }
    }

    /// From now on the limit counts.
    func begin() {
        state.withLock { $0.began = .now }
        logger.notice("draining", metadata: ["limit": "\(limit)"])
        // A thread of its own: handlers that block may have all others.
        DispatchQueue(label: "freshet.drain").asyncAfter(deadline: .now() + .nanoseconds(limit.nanoseconds)) {
            [self] in
            guard !state.withLock(\.isOver) else { return }
            let error = tooLong(unsettled)
            logger.error("not drained in time, ending all the same", metadata: ["reason": "\(error)"])
            // Not `exit`: what runs at its end may wait for those that hang.
            _exit(error.status.rawValue)
        }
    }

    /// All services have ended, when it was asked for. Throws `partlyDone` when deliveries were left behind.
    func end() throws(ToolError) {
        let began = state.withLock { state in
            state.isOver = true
            return state.began
        }
        guard let began else { return }
        let left = unsettled
        guard left == 0 else {
            let error = tooLong(left)
            logger.error("not drained in time", metadata: ["left": "\(left)"])
            throw error
        }
        logger.notice("drained", metadata: ["took": "\(ContinuousClock.now - began)"])
    }

    private func tooLong(_ left: Int) -> ToolError {
        ToolError(
            .partlyDone,
            left > 0
                ? "not settled within \(limit) (FRESHET_DRAIN_TIMEOUT): \(left) of the events that were taken; another consumer takes over after the lease"
                : "not ended within \(limit) (FRESHET_DRAIN_TIMEOUT)"
        )
    }
}

extension Duration {
    var nanoseconds: Int {
        let (seconds, attoseconds) = components
        return Int(seconds) * 1_000_000_000 + Int(attoseconds / 1_000_000_000)
    }
}

/// A service's own services, which run and stop side by side: with one after the other all but the last would go on taking
/// new events for as long as its handlers run.
struct ServicesTogether: Service {
    let services: [any Service]

    func run() async throws {
        try await withThrowingTaskGroup(of: String.self) { tasks in
            for service in services {
                tasks.addTask {
                    try await service.run()
                    return "\(type(of: service))"
                }
            }
            defer { tasks.cancelAll() }
            for try await name in tasks where !Task.isShuttingDownGracefully && !Task.isCancelled {
                throw ToolError(.failed, "\(name) ended without being asked to")
            }
        }
    }
}
