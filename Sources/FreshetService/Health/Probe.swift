internal import Synchronization

/// A question that may hang, such as whether a server answers: one at a time is under way however many ask, its answer holds
/// for a moment, and nobody waits for it longer than the limit.
final class Probe: Sendable {
    private struct State {
        var isAsking = false
        var answer: (at: ContinuousClock.Instant, failure: String?)?
        var waiters: [AsyncStream<String?>.Continuation] = []
    }
    private let state = Mutex(State())
    private let limit: Duration
    private let freshness: Duration
    private let ask: @Sendable () async throws -> Void

    /// - Parameter ask: throws when it is not well.
    init(
        limit: Duration = .seconds(1), freshness: Duration = .milliseconds(200),
        _ ask: @escaping @Sendable () async throws -> Void
    ) {
        self.limit = limit
        self.freshness = freshness
        self.ask = ask
    }

    /// What is not well; nil when all is.
    func failure() async -> String? {
        let (answers, waiter) = AsyncStream.makeStream(of: String?.self)
        state.withLock { state in
            if let answer = state.answer, ContinuousClock.now - answer.at < freshness {
                waiter.yield(answer.failure)
                waiter.finish()
                return
            }
            state.waiters.append(waiter)
            guard !state.isAsking else { return }
            state.isAsking = true
            // Not the caller's: it gives up after the limit, and what hangs is not asked again.
            Task { await self.run() }
        }
        return await withTaskGroup(of: String??.self) { tasks in
            tasks.addTask {
                for await answer in answers { return .some(answer) }
                return nil
            }
            tasks.addTask { [limit] in
                do { try await Task.sleep(for: limit) } catch { return nil }
                return .some("no answer within \(limit)")
            }
            defer { tasks.cancelAll() }
            return await tasks.next().flatMap { $0 } ?? "not asked: the question was given up"
        }
    }

    private func run() async {
        var failure: String?
        do { try await ask() } catch { failure = ToolError(error).description }
        let waiters = state.withLock { state in
            state.isAsking = false
            state.answer = (.now, failure)
            defer { state.waiters = [] }
            return state.waiters
        }
        for waiter in waiters {
            waiter.yield(failure)
            waiter.finish()
        }
    }
}
