/// What a member wants to be called for.
struct LoopInterest: Equatable {
    let descriptor: Int32
    let reads: Bool
    let writes: Bool
}

/// What a loop polls and ticks. All of it is called on the loop's thread only.
protocol LoopMember: AnyObject {
    /// The descriptor to poll and what for, or nil when there is nothing to poll now.
    var interest: LoopInterest? { get }
    /// What the loop polls for now; the loop's own note. Before its descriptor is closed, `RedisEventLoop.unwatch`.
    var watched: LoopInterest? { get set }
    /// When `tick` wants to be called, or nil.
    var deadline: Nanoseconds? { get }
    /// The descriptor is ready; `canRead` also when it is broken.
    func ready(canRead: Bool)
    /// The kernel does not poll the descriptor: no memory, or more watches than a user may have.
    func cannotBePolled(errno: Int32)
    /// Writes what the turn has gathered. Called once a turn.
    func flush()
    /// The deadline has come.
    func tick(at now: Nanoseconds)
}
