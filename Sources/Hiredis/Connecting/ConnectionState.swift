/// Where a connection stands. Transitions are made by `ConnectionCore`, which performs what they ask for.
enum ConnectionState {
    /// No connection, and nobody has asked for one since the last.
    case idle
    /// A name is being looked up.
    case resolving(attempt: UInt64)
    /// The socket connects; these addresses are left to try.
    case connecting(descriptor: Int32, remaining: ArraySlice<String>)
    /// Connected; the greeting (AUTH, SELECT, ...) is under way.
    case greeting(descriptor: Int32)
    /// Commands flow.
    case ready(descriptor: Int32)
    /// The last attempt failed; the next one is made at this time.
    case waiting(until: Nanoseconds)
    /// For ever.
    case closed

    var descriptor: Int32? {
        switch self {
        case .connecting(let descriptor, _), .greeting(let descriptor), .ready(let descriptor): descriptor
        case .idle, .resolving, .waiting, .closed: nil
        }
    }
}
