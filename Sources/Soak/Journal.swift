internal import FoundationEssentials
internal import Freshet
internal import Glibc

/// What a consumer did, line by line in a file that outlives it when it is killed.
///
/// `D group id time`: an event was delivered; `S group id key number time`: its handler began; `E` and `F`: it returned, or threw; `T group id outcome time`: the delivery
/// surely ended so; `C group outcome count`: counters; `O partition epoch time`: a partition was taken, `L`: or left; `B group
/// time`: the process was ready.
struct Journal: Sendable {
    private let descriptor: Int32

    init(at path: String) throws {
        descriptor = unsafe open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw SoakError("cannot write '\(path)'") }
    }

    /// Appends a line, in one write.
    func write(_ words: String...) {
        let bytes = Array((words.joined(separator: " ") + "\n").utf8)
        _ = unsafe Glibc.write(descriptor, bytes, bytes.count)
    }

    /// Has a subscription's endings and partitions written down.
    func follow(_ options: inout SubscriptionOptions, of group: GroupName) {
        options.observeTaken = { event in write("D", "\(group)", event.id, "\(Journal.now())") }
        options.observe = { event, outcome in
            write("T", "\(group)", event.id, outcome.rawValue, "\(Journal.now())")
        }
        options.observePartition = { partition, epoch, isOwned in
            write(isOwned ? "O" : "L", "\(group)", "\(partition)", "\(epoch)", "\(Journal.now())")
        }
    }

    /// Microseconds of a clock that all processes of a machine share.
    static func now() -> Int {
        var time = timespec()
        unsafe clock_gettime(CLOCK_MONOTONIC, &time)
        return time.tv_sec * 1_000_000 + time.tv_nsec / 1000
    }
}

/// What went wrong with the proof itself.
struct SoakError: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}
