internal import Hiredis
internal import Synchronization

/// A subscription's signs of life, for those who ask from any thread, also when its own thread does not answer any more.
package final class Pulse: Sendable {
    private struct State {
        /// When each reader last came round; nil for one that has not begun or has ended.
        var beats: [ContinuousClock.Instant?]
        var hasGroup = false
    }
    private let state: Guarded<State>
    /// How long a reader may take to come round when all is well or the server is away: longer, and it hangs.
    package let patience: Duration

    init(readers: Int, blocking: Duration, timeout: Duration) {
        state = Guarded(State(beats: Array(repeating: nil, count: readers)))
        patience = max(.seconds(60), (blocking + timeout) * 4)
    }

    /// The time since the reader that is behind most came round; nil when none is to.
    package var silence: Duration? {
        state.withLock { $0.beats.compactMap { $0 }.min() }.map { ContinuousClock.now - $0 }
    }

    /// Whether the group is there, as far as is known.
    package var hasGroup: Bool { state.withLock { $0.hasGroup } }

    func beat(_ reader: Int) { state.withLock { $0.beats[reader] = .now } }

    func ended(_ reader: Int) { state.withLock { $0.beats[reader] = nil } }

    func group(isThere: Bool) { state.withLock { $0.hasGroup = isThere } }
}
