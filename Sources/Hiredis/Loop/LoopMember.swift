/// What a loop polls and ticks. All of it is called on the loop's thread only.
protocol LoopMember: AnyObject {
    /// The descriptor to poll and the events to poll for, or nil when there is nothing to poll now.
    var interest: (descriptor: Int32, events: Int16)? { get }
    /// When `tick` wants to be called, or nil.
    var deadline: Nanoseconds? { get }
    /// The descriptor is ready.
    func ready(_ events: Int16)
    /// Writes what the turn has gathered. Called once a turn.
    func flush()
    /// The deadline has come.
    func tick(at now: Nanoseconds)
}
