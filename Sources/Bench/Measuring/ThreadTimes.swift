internal import FoundationEssentials
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

/// One thread, or one process as a whole, as /proc shows it.
struct ThreadTime: Sendable {
    let id: Int32
    let name: String
    let parent: Int32
    let seconds: Double

    /// What a `stat` file says; nil when there is none (any more).
    init?(path: String) {
        guard let text = try? String(contentsOfFile: path, encoding: .utf8),
            // The name may hold anything, also parentheses.
            let open = text.firstIndex(of: "("), let close = text.lastIndex(of: ")"),
            let id = Int32(text[..<open].dropLast())
        else { return nil }
        let fields = text[close...].split(separator: " ")
        // proc(5): behind the name come the state (3) and the parent (4); utime is 14, stime is 15.
        guard fields.count > 13, let parent = Int32(fields[2]), let user = Double(fields[12]),
            let system = Double(fields[13])
        else { return nil }
        self.id = id
        self.parent = parent
        name = String(text[text.index(after: open)..<close])
        seconds = (user + system) / Double(sysconf(Int32(_SC_CLK_TCK)))
    }

    /// The threads of a process.
    static func all(of process: Int32) -> [ThreadTime] {
        let folder = "/proc/\(process)/task"
        let threads = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
        return threads.compactMap { ThreadTime(path: "\(folder)/\($0)/stat") }
    }

    /// All processes.
    static func processes() -> [ThreadTime] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
        return names.filter { Int32($0) != nil }.compactMap { ThreadTime(path: "/proc/\($0)/stat") }
    }
}
