internal import Glibc

/// Nanoseconds of a clock that no one sets.
package typealias Nanoseconds = UInt64

/// A clock that goes on at the same pace, whoever sets the time.
package enum MonotonicTime {
    package static func now() -> Nanoseconds {
        var time = timespec()
        unsafe clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}

extension Duration {
    /// Whole milliseconds, at most about 500 years of them.
    package var inMilliseconds: Int {
        let (seconds, attoseconds) = components
        return Int(max(-1 << 34, min(seconds, 1 << 34))) * 1000 + Int(attoseconds / 1_000_000_000_000_000)
    }

    /// At least 0, at most about 500 years.
    var nanoseconds: Nanoseconds {
        let (seconds, attoseconds) = components
        guard seconds >= 0, attoseconds >= 0 else { return 0 }
        return UInt64(min(seconds, 1 << 34)) * 1_000_000_000 + UInt64(attoseconds / 1_000_000_000)
    }
}
