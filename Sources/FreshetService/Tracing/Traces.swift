internal import Logging
internal import Synchronization
internal import Tracing

/// A process's traces: the tracer that makes spans, and the service that exports them.
struct Traces {
    let tracer: ServiceTracer
    let export: TraceExport

    private static let isBootstrapped = Mutex(false)

    /// The first of a process is the one that its handlers and libraries find, too.
    init(_ settings: TraceSettings, logger: Logger) {
        let queue = SpanQueue(capacity: settings.capacity, batch: settings.batch)
        tracer = ServiceTracer(settings.sampler, to: queue)
        export = TraceExport(settings, of: queue, logger: logger)
        let isFirst = Self.isBootstrapped.withLock { isBootstrapped in
            defer { isBootstrapped = true }
            return !isBootstrapped
        }
        if isFirst { InstrumentationSystem.bootstrap(tracer) }
    }
}
