internal import Synchronization

/// What is counted on the loop's thread while a subscription runs.
final class Count: Sendable {
    private struct State {
        var handled = 0
        var bytes = 0
        var meter: Meter?
        var micros: [Double] = []
    }
    private let state = Mutex(State())
    let warmUp: Int

    init(warmUp: Int) { self.warmUp = warmUp }

    func add(_ bytes: Int, latency: Double? = nil) {
        state.withLock { state in
            state.handled += 1
            state.bytes += bytes
            if let latency { state.micros.append(latency) }
            if state.handled == warmUp { state.meter = Meter() }
        }
    }

    var bytes: Int { state.withLock { $0.bytes } }
    var handled: Int { state.withLock { $0.handled } }
    var meter: Meter? { state.withLock { $0.meter } }
    var micros: [Double] { state.withLock { $0.micros } }
}
