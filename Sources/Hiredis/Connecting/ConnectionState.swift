/// Where a connection stands. Transitions are made by `ConnectionCore`, which performs what they ask for.
enum ConnectionState {
    /// No connection, and nobody has asked for one since the last.
    case idle
    /// The primary is asked for, a name is looked up, certificates are read.
    case locating(attempt: UInt64)
    /// The socket connects; the route has more addresses to try.
    case connecting(Link, Route)
    /// The socket is connected, TLS is agreed on.
    case securing(Link, wantsWrite: Bool)
    /// The greeting (AUTH, SELECT, ...) is under way.
    case greeting(Link)
    /// Commands flow.
    case ready(Link)
    /// The last attempt failed; the next one is made at this time.
    case waiting(until: Nanoseconds)
    /// For ever.
    case closed

    var link: Link? {
        switch self {
        case .connecting(let link, _), .securing(let link, _), .greeting(let link), .ready(let link): link
        case .idle, .locating, .waiting, .closed: nil
        }
    }
}

/// The way to one server: where it is, the numeric addresses left to try, and what secures the connection.
struct Route: Sendable {
    let server: RedisConfiguration.Address
    /// Numeric addresses, or the path of the socket.
    var addresses: ArraySlice<String>
    let security: TLSContext?
}
