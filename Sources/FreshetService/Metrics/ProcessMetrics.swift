internal import FoundationEssentials
internal import Freshet
internal import Glibc
internal import Hiredis
internal import Metrics
internal import Synchronization

/// What is said of a process as such: what it is, since when it runs, whether it is ready, and what it uses.
package struct ProcessMetrics: Sendable {
    private let ready = Gauge(label: "freshet_ready")

    /// Says them through swift-metrics.
    ///
    /// - Parameters:
    ///   - version: the program's; by default what `FRESHET_VERSION` says, which an image sets.
    ///   - metrics: where what the system counts is looked up for each scrape; nil when another backend is in place, which
    ///     has its own way to it.
    package init(service: String, version: String = Self.version, in metrics: PrometheusMetrics?) {
        Gauge(label: "freshet_build_info", dimensions: [("version", version), ("service", service)]).record(1)
        Gauge(label: "freshet_start_time_seconds").record(Double(Timestamp.now().milliseconds) / 1000)
        ready.record(0)
        if let metrics { Usage.collect(in: metrics) }
    }

    /// Says whether the process takes up work.
    package func isReady(_ isReady: Bool) { ready.record(isReady ? 1 : 0) }

    /// What `FRESHET_VERSION` says, or `dev`.
    package static var version: String {
        ProcessInfo.processInfo.environment["FRESHET_VERSION"].flatMap { $0.isEmpty ? nil : $0 } ?? "dev"
    }
}

/// What the process has used, as the system says.
private final class Usage: Sendable {
    private let processor = FloatingPointCounter(label: "process_cpu_seconds_total")
    private let memory = Gauge(label: "process_resident_memory_bytes")
    private let counted = Guarded(0.0)

    static func collect(in metrics: PrometheusMetrics) {
        let usage = Usage()
        metrics.onCollect { usage.look() }
    }

    private func look() {
        counted.withLock { counted in
            let used = Self.processorSeconds
            processor.increment(by: used - counted)
            counted = max(counted, used)
        }
        if let bytes = Self.residentBytes { memory.record(bytes) }
    }

    private static var processorSeconds: Double {
        var usage = rusage()
        guard unsafe getrusage(RUSAGE_SELF.rawValue, &usage) == 0 else { return 0 }
        func seconds(_ time: timeval) -> Double { Double(time.tv_sec) + Double(time.tv_usec) / 1e6 }
        return seconds(usage.ru_utime) + seconds(usage.ru_stime)
    }

    /// The second number of statm, in pages.
    private static var residentBytes: Int? {
        let fields = try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8).split(separator: " ")
        guard let fields, fields.count > 1, let pages = Int(fields[1]) else { return nil }
        return pages * sysconf(Int32(_SC_PAGESIZE))
    }
}
