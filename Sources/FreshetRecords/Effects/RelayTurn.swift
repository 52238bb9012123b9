internal import Hiredis
internal import Synchronization

/// Who relays an outbox, as far as this process knows, and whether it hears of what others write to it.
final class RelayTurn: Sendable {
    private struct State {
        var heldUntil = ContinuousClock.now
        var refusedUntil = ContinuousClock.now
        var isListening = false
    }
    private let state = Guarded(State())

    /// Whether it is this process's turn.
    var isOurs: Bool { state.withLock { $0.heldUntil > .now } }

    /// For how long it is surely another's; nil when it need not be.
    var refusal: Duration? {
        let left = state.withLock { $0.refusedUntil } - ContinuousClock.now
        return left > .zero ? left : nil
    }

    var isListening: Bool {
        get { state.withLock { $0.isListening } }
        set { state.withLock { $0.isListening = newValue } }
    }

    func taken(until end: ContinuousClock.Instant) {
        state.withLock { state in
            state.heldUntil = end
            state.refusedUntil = .now
        }
    }

    /// It is nobody's: this process is not to ask for so long.
    func left(for pause: Duration) { refused(until: .now + pause) }

    func refused(until end: ContinuousClock.Instant) {
        state.withLock { state in
            state.heldUntil = .now
            state.refusedUntil = end
        }
    }
}
