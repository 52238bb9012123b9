internal import Synchronization

/// Why a replay ends before its last event.
enum ReplayEnd: Error {
    case stopped(String)
    case cancelled
}

/// What a replay's events and the looks beside them know of each other: how far the one is, and what the other has seen.
final class ReplayStanding: Sendable {
    /// How things were at one moment.
    struct Look {
        /// Counts the looks.
        var number = 0
        var time: ContinuousClock.Instant
        /// How many events were where they go when it began.
        var count: Int
        /// How many a second, lately.
        var rate = 0.0
        /// What the replay has to wait for; nil when it may go on.
        var note: String?
        /// The rate to which the group's own events slow it.
        var brake: Double?
        var unsettled = 0
        /// Why it ends.
        var failure: (any Error)?

        /// What there is to say; empty when there is nothing.
        var words: String {
            note ?? brake.map { "slowed to \(Int($0))/s: the group's own events wait longer and longer" }
                ?? ""
        }
    }

    static let interval = Duration.milliseconds(500)
    /// No event goes when the last look is older: another process may have taken the lock, which outlives a look by more than this.
    private static let staleness = Duration.seconds(5)
    /// No more go beyond the last look where it bounds how many may wait.
    private static let manyEvents = 5_000

    private struct State {
        var count: Int
        var look: Look
    }
    private let state: Mutex<State>
    private let isBounded: Bool
    private let ticks = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
    private let looks = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))

    init(count: Int, isBounded: Bool) {
        let look = Look(time: .now - Self.staleness * 2, count: count)
        state = Mutex(State(count: count, look: look))
        self.isBounded = isBounded
    }

    // MARK: - For the events

    /// The last look, and notes how many events are where they go.
    func look(at count: Int) -> Look {
        let look = state.withLock { state in
            state.count = count
            return state.look
        }
        if isBounded, count - look.count >= Self.manyEvents / 2 { ticks.continuation.yield() }
        return look
    }

    /// Whether nothing may go until there is another look.
    func holds(_ look: Look) -> Bool {
        look.note != nil || look.number == 0
            || isBounded && state.withLock { $0.count } - look.count >= Self.manyEvents
            || .now - look.time > Self.staleness
    }

    func nextLook() async {
        for await _ in looks.stream { return }
    }

    // MARK: - For the looks

    /// Says now and then that a look may be due, until it is cancelled.
    func tick() async {
        repeat {
            ticks.continuation.yield()
        } while (try? await Task.sleep(for: .milliseconds(100))) != nil
    }

    /// Waits until another look is due; the number of events that are where they go, or nil when it was cancelled.
    func nextDue() async -> Int? {
        for await _ in ticks.stream {
            let (count, look) = state.withLock { ($0.count, $0.look) }
            let interval = look.note == nil ? Self.interval : .milliseconds(200)
            if look.number == 0 || .now - look.time >= interval { return count }
            if isBounded, count - look.count >= Self.manyEvents / 2 { return count }
        }
        return nil
    }

    func note(_ look: Look) {
        state.withLock { state in
            let number = state.look.number + 1
            state.look = look
            state.look.number = number
        }
        looks.continuation.yield()
    }
}
