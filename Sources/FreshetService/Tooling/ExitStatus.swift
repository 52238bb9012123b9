/// What a process says when it ends.
public enum ExitStatus: Int32, Sendable {
    /// Done.
    case done = 0
    /// Failed.
    case failed = 1
    /// Done in part.
    case partlyDone = 2
    /// Wrong usage.
    case usage = 64
    /// Input data that is wrong.
    case badData = 65
    /// The server cannot be reached.
    case unreachable = 69
    /// Not now; try again later.
    case tryAgain = 75
    /// The configuration cannot work.
    case badConfiguration = 78
    /// Interrupted.
    case interrupted = 130
}
