/// A replay: its plan, and how it stands.
public struct ReplayJob: Sendable, Codable {
    /// How a replay stands.
    public enum State: String, Sendable, Codable {
        /// Not started yet.
        case planned
        /// A process is at it.
        case running
        /// Its process waits until someone resumes it.
        case paused
        /// No process is at it, and it has not come to its end: it can be resumed.
        case stopped
        /// All its events are on their way.
        case done
        /// Someone has ended it.
        case cancelled

        /// Whether it has ended for good.
        public var isOver: Bool { self == .done || self == .cancelled }
    }
    /// Names it.
    public var id: String { plan.id }
    /// Its plan.
    public let plan: ReplayPlan
    /// How it stands.
    public internal(set) var state = State.planned
    /// How many events it has put where they go.
    public internal(set) var done = 0
    /// How many a second, last.
    public internal(set) var rate = 0.0
    /// Who planned it.
    public internal(set) var by = ""
    /// Why, as that person said; empty when nothing was said.
    public internal(set) var reason = ""
    /// When it was started first; nil when it was not.
    public internal(set) var started: String?
    /// When it was heard of last.
    public internal(set) var updated: String?
    /// How many events were put there once more because the server had lost them: a failover, or a restart
    /// from an older snapshot.
    public internal(set) var lost = 0
    /// What it waits for, or why it stopped; empty when there is nothing to say.
    public internal(set) var note = ""

    /// How many seconds it takes until all are on their way, at its last rate; nil when that is not known.
    public var secondsLeft: Double? {
        guard state == .running, rate > 0 else { return nil }
        return Double(max(0, plan.selected.count - done)) / rate
    }
}
