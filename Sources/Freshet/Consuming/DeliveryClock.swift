internal import Hiredis
internal import Synchronization

/// What delivery goes by when it waits and when claims run out: the machine's clock, or in tests one that is moved by hand.
package final class DeliveryClock: Sendable {
    package typealias Instant = ContinuousClock.Instant

    /// The machine's clock.
    package static let system = DeliveryClock(manual: nil)

    /// A clock that stands still until `advance`.
    package static func standing() -> DeliveryClock { DeliveryClock(manual: Hand(Manual(now: .now))) }

    private struct Manual {
        struct Wait {
            let alarm: LoopAlarm
            /// Nil while its task does something.
            var due: Instant?
        }
        var now: Instant
        var waits: [ObjectIdentifier: Wait] = [:]

        /// All tasks that go by the clock wait for something.
        var isQuiet: Bool { waits.values.allSatisfy { $0.due != nil } }
    }

    private final class Hand: Sendable {
        let state: Guarded<Manual>
        init(_ manual: sending Manual) { state = Guarded(manual) }
        func withLock<Result>(_ body: (inout sending Manual) -> sending Result) -> sending Result {
            state.withLock(body)
        }
    }

    private let manual: Hand?

    private init(manual: Hand?) { self.manual = manual }

    package var now: Instant { manual?.withLock { $0.now } ?? .now }

    /// Waits until the alarm rings or so much time has passed. Each alarm has one task, which says `leave` at its end.
    func wait(on alarm: LoopAlarm, for duration: Duration) async {
        guard let manual else { return await alarm.wait(for: duration) }
        let isOver = manual.withLock { state in
            state.waits[ObjectIdentifier(alarm)] = .init(alarm: alarm, due: state.now + duration)
            return duration <= .zero
        }
        if !isOver { await alarm.wait(for: .seconds(1 << 30)) }
        manual.withLock { $0.waits[ObjectIdentifier(alarm)]?.due = nil }
    }

    /// Nothing waits on the alarm any more.
    func leave(_ alarm: LoopAlarm) {
        manual?.withLock { _ = $0.waits.removeValue(forKey: ObjectIdentifier(alarm)) }
    }

    /// Moves a standing clock, from one moment at which somebody wants to be woken to the next: what is due at each is done
    /// before the next one comes, so that claims are renewed on the way as they would be.
    ///
    /// - Parameter onStep: called at each moment, with how far it is from the last one.
    package func advance(by duration: Duration, onStep: (Duration) async -> Void) async {
        guard let manual else { preconditionFailure("the machine's clock cannot be moved") }
        let target = now + duration
        while true {
            await quiet(manual)
            let (step, due, isLast) = manual.withLock { state in
                let next = state.waits.values.compactMap(\.due).min() ?? target
                let moment = max(state.now, min(next, target))
                let step = moment - state.now
                state.now = moment
                let due = state.waits.values.filter { $0.due.map { $0 <= moment } ?? false }
                return (step, due.map(\.alarm), moment >= target)
            }
            await onStep(step)
            for alarm in due {
                manual.withLock { $0.waits[ObjectIdentifier(alarm)]?.due = nil }
                alarm.ring()
            }
            if isLast { return await quiet(manual) }
        }
    }

    /// Waits until what is going by the clock waits; a task that does not for a second is left behind.
    private func quiet(_ manual: Hand) async {
        let limit = Instant.now + .seconds(1)
        while !manual.withLock({ $0.isQuiet }), Instant.now < limit {
            try? await Task.sleep(for: .microseconds(50))
        }
    }
}
