internal import Glibc

/// The CPU time of a process, in seconds, by its threads' work, which their names tell. The kernel counts it in hundredths.
struct ThreadTimes: Sendable {
    /// The client's loop, `freshet-loop`.
    var loop = 0.0
    /// The database's: a serial queue of Dispatch runs on threads whose names end with `-qos.overcommit`.
    var database = 0.0
    /// The main thread, and the pool on which Swift runs what prefers no loop.
    var other = 0.0

    static func ofThisProcess() -> ThreadTimes { ThreadTimes(ThreadTime.all(of: getpid()), of: getpid()) }

    init(_ threads: [ThreadTime], of process: Int32) {
        for thread in threads {
            if thread.name == "freshet-loop" {
                loop += thread.seconds
            } else if thread.id == process || thread.name.hasSuffix("default-qos") {
                other += thread.seconds
            } else {
                database += thread.seconds
            }
        }
    }

    private init(loop: Double, database: Double, other: Double) {
        (self.loop, self.database, self.other) = (loop, database, other)
    }

    init() {}

    var total: Double { loop + database + other }

    static func + (one: ThreadTimes, other: ThreadTimes) -> ThreadTimes {
        ThreadTimes(
            loop: one.loop + other.loop, database: one.database + other.database,
            other: one.other + other.other)
    }

    static func - (end: ThreadTimes, start: ThreadTimes) -> ThreadTimes {
        ThreadTimes(
            loop: end.loop - start.loop, database: end.database - start.database,
            other: end.other - start.other)
    }

    static func / (times: ThreadTimes, divisor: Double) -> ThreadTimes {
        ThreadTimes(
            loop: times.loop / divisor, database: times.database / divisor, other: times.other / divisor)
    }
}
