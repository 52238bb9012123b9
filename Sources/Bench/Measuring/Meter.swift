internal import FoundationEssentials
internal import Glibc

/// What this process costs from here on: time, CPU, memory.
struct Meter {
    private let started: UInt64
    private let cpu: Double
    /// What each thread had cost before.
    let threads = ThreadTimes.ofThisProcess()

    init() {
        // Sets VmHWM back to what is resident now. Where the kernel cannot, the peak is that of the whole process.
        if let file = unsafe fopen("/proc/self/clear_refs", "w") {
            unsafe fputs("5", file)
            unsafe fclose(file)
        }
        started = MonotonicClock.nanoseconds()
        cpu = Self.cpuMicros()
    }

    func sample(events: Int) -> Sample {
        let elapsed = MonotonicClock.nanoseconds() - started
        let spent = Self.cpuMicros() - cpu
        return Sample(
            events: events, seconds: Double(elapsed) / 1e9, cpuMicros: spent / Double(events),
            peakBytes: Self.peakBytes())
    }

    private static func cpuMicros() -> Double {
        var usage = rusage()
        unsafe getrusage(RUSAGE_SELF.rawValue, &usage)
        let seconds = usage.ru_utime.tv_sec + usage.ru_stime.tv_sec
        return Double(seconds) * 1e6 + Double(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec)
    }

    private static func peakBytes() -> Int {
        let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
        let line = status.split(separator: "\n").first { $0.hasPrefix("VmHWM:") } ?? ""
        return (line.split { !$0.isNumber }.first.flatMap { Int($0) } ?? 0) * 1024
    }
}

/// A clock that no one sets, and the one that the C program reads.
enum MonotonicClock {
    static func nanoseconds() -> UInt64 {
        var time = timespec()
        unsafe clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}
