internal import ServiceLifecycle
internal import Synchronization

/// Whether the process was asked to stop; whoever asks from then on is told at once, so that no signal is lost between
/// one phase of a start and the next.
final class StopRequest: Sendable {
    private struct State {
        var isMade = false
        var waiters: [AsyncStream<Void>.Continuation] = []
    }
    private let state = Mutex(State())

    /// Whether it was made.
    var isMade: Bool { state.withLock { $0.isMade } }

    func make() {
        let waiters = state.withLock { state in
            state.isMade = true
            defer { state.waiters = [] }
            return state.waiters
        }
        for waiter in waiters { waiter.finish() }
    }

    /// Waits for the request, or for cancellation.
    func wait() async {
        let (stream, waiter) = AsyncStream.makeStream(of: Void.self)
        let isMade = state.withLock { state in
            if !state.isMade { state.waiters.append(waiter) }
            return state.isMade
        }
        if isMade { return }
        for await _ in stream {}
    }
}

/// Ends with the request, which has its group shut down.
struct StopService: Service {
    let request: StopRequest

    func run() async throws {
        await cancelWhenGracefulShutdown { await request.wait() }
    }
}
