internal import Hiredis
internal import Synchronization

/// The outboxes that a process publishes to a broker: an event that waits in one is not in its log yet.
package final class RelayedOutboxes: Sendable {
    private struct State {
        var next = 0
        var questions: [Int: @Sendable () async -> Bool] = [:]
    }
    private let state = Guarded(State())

    /// Counts an outbox until the body has ended.
    ///
    /// - Parameter isEmpty: whether nothing waits in it.
    package func relaying(
        _ isEmpty: @escaping @Sendable () async -> Bool, _ body: () async throws -> Void
    ) async rethrows {
        let number = state.withLock { state in
            state.next += 1
            state.questions[state.next] = isEmpty
            return state.next
        }
        defer { state.withLock { _ = $0.questions.removeValue(forKey: number) } }
        try await body()
    }

    /// Whether nothing waits in any of them.
    package func areEmpty() async -> Bool {
        for isEmpty in state.withLock({ Array($0.questions.values) }) {
            guard await isEmpty() else { return false }
        }
        return true
    }
}
